# 010: the first node, what `status` says of it, and what is refused before
# anything is touched.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use FailoverdTest qw(one_line slurp tree);

my $t = FailoverdTest->new(nodes => 1)->up;
my $n1 = $t->node('n1');
my $failoverd = $t->bin_dir . '/failoverd';

# As its user, in the foreground; a good configuration would stay there.
sub
agent_says
{
	my ($conf) = @_;

	return $t->run({ timeout => 10 },
	    $t->as_user($failoverd, '-c', $conf));
}

subtest 'init' => sub {
	my $mode = sub { sprintf '%o', (stat $_[0])[2] & 07777 };
	is($mode->($n1->state_dir), '700', 'only its user enters state_dir');
	is($mode->($n1->state_dir . '/secrets'), '700', 'nor secrets');
	my @open = grep { -f && ((stat _)[2] & 077) }
	    glob($n1->state_dir . '/secrets/*'),
	    glob($n1->state_dir . '/tls/*.key');
	is_deeply(\@open, [], 'no secret is readable to others');
	like(slurp($t->dir . '/authorized_keys'), qr/^restrict,port-forwarding,
	    permitopen="127\.0\.0\.1:1",
	    command="\S+\/failover-provision\ --target"
	    \ ssh-ed25519\ AAAA\S+\ failoverd:sandbox\n\z/x,
	    'the line for new hosts');

	is($n1->psql('SHOW data_checksums'), 'on', 'checksums');
	is($n1->psql('SELECT rolcanlogin, rolreplication, rolsuper, '
	    . "rolcreaterole, rolpassword LIKE 'SCRAM-SHA-256\$%' "
	    . "FROM pg_authid WHERE rolname = 'failoverd_replication'"),
	    't|t|f|f|t', 'the replication role can replicate and no more');
	is($n1->psql('SELECT name FROM pg_settings WHERE name IN '
	    . "('restart_after_crash', 'primary_conninfo', "
	    . "'synchronous_standby_names') AND sourcefile = '"
	    . $n1->state_dir . "/owned.conf' ORDER BY 1"),
	    "primary_conninfo\nrestart_after_crash\n"
	    . 'synchronous_standby_names', 'our settings come from our file');
	is($n1->psql('SHOW restart_after_crash'), 'off',
	    'every crash passes the agent');
	is($n1->psql('SHOW hba_file'), $n1->state_dir . '/pg_hba.conf',
	    'access is by our file');
	is($n1->psql('SELECT count(*) FROM pg_hba_file_rules '
	    . 'WHERE error IS NOT NULL'), '0', '... which has no errors');
};

subtest 'status, JSON' => sub {
	my ($exit, $out, $err) = $t->ctl('--format', 'json', 'status');
	my $status = decode_json($out);
	my %exit = (healthy => 0, degraded => 1, 'no-primary' => 2);

	is($exit, $exit{$status->{health}}, 'the exit status is the health')
	    or diag("$exit $out");
	is($err, '', 'nothing else is said');
	is_deeply([ grep { !exists $status->{$_} } qw(cluster generation
	    health epoch coordinator primary durability sync_since quorum
	    paused maintenance warnings nodes) ], [], 'every field');
	is($status->{cluster}, 'sandbox', 'cluster');
	is($status->{generation}, 1, 'generation');
	is($status->{epoch}, 1, 'epoch');
	is($status->{primary}, 'n1', 'primary');
	is($status->{coordinator}, 'n1', 'coordinator');
	is_deeply($status->{quorum}, { voters => 1, reachable => 1,
	    needed => 1 }, 'quorum');
	ok(!$status->{paused}, 'not paused');
	is_deeply([ grep { !defined $_->{text} || !exists $_->{command} }
	    @{$status->{warnings}} ], [], 'warnings have text and command');

	my ($node) = @{$status->{nodes}};
	is(scalar @{$status->{nodes}}, 1, 'one node');
	is_deeply([ grep { !exists $node->{$_} } qw(name host port role state
	    timeline lsn receive_lsn replay_lsn lag_bytes lag_ms sync
	    upstream slot tags pending_restart incarnation agent_version
	    server_version reachable age_ms message) ], [],
	    'every field of a node');
	is($node->{name}, 'n1', 'name');
	is($node->{host}, '127.0.0.1', 'host');
	is($node->{port}, $n1->pg_port, 'port');
	is($node->{role}, 'primary', 'role');
	is($node->{state}, 'running', 'state');
	is($node->{timeline}, 1, 'timeline');
	like($node->{lsn}, qr{^[0-9A-F]+/[0-9A-F]+$}, 'LSN');
	ok($node->{reachable}, 'reachable');
	is($node->{receive_lsn}, undef, 'a primary receives nothing: null');
	is($node->{upstream}, undef, 'and has no upstream');
};

subtest 'status, table' => sub {
	my ($exit, $out) = $t->ctl('status');
	my @lines = split /\n/, $out;

	cmp_ok($exit, '<=', 1, 'it has a primary');
	is_deeply([ grep { length > 80 } @lines ], [],
	    'no line exceeds 80 columns');
	ok(scalar(grep { /^Node\s+Host\s+Role\s+State\s+TL\s+LSN\s+Lag\s+Sync
	    \s+Seen\b/x } @lines), 'headings') or diag($out);
	ok(scalar(grep { /^n1\s+\S+\s+primary\s+running\s+1\s/ } @lines),
	    'the node') or diag($out);
};

subtest 'command lines' => sub {
	my ($exit, $out, $err) = $n1->ctl('frobnicate');
	is($exit, 64, 'unknown command') or diag($out, $err);
	ok(one_line($err), 'one line') or diag($err);

	($exit, $out, $err) = $n1->ctl('status', '--frobnicate');
	is($exit, 64, 'unknown option');
	ok(one_line($err), 'one line') or diag($err);

	($exit, $out, $err) = $t->run({}, $t->failoverctl, '-c',
	    $t->scratch('nothing.conf'), 'status');
	is($exit, 78, 'no configuration');
	ok(one_line($err), 'one line') or diag($err);
	like($err, qr/nothing\.conf/, '... names the file');
};

subtest 'unknown configuration key' => sub {
	my $copy = $t->scratch('unknown.conf');
	my $text = slurp($n1->conf);
	open my $file, '>', $copy or die $!;
	print $file $text, "frobnicate = \"yes\";\n";
	close $file;
	my $number = 1 + ($text =~ tr/\n//);

	for my $try ([ agent_says($copy) ],
	    [ $t->run({}, $t->failoverctl, '-c', $copy, 'status') ]) {
		my ($exit, $out, $err) = @$try;
		is($exit, 78, 'exit status');
		ok(one_line($err), 'one line') or diag($err);
		like($err, qr/\Q$copy:$number\E\b.*"frobnicate"/,
		    'it names file, line and key');
	}
};

subtest 'second init' => sub {
	my $before = tree($n1->state_dir . '/secrets') .
	    tree($n1->state_dir . '/tls') . slurp($n1->conf);
	my ($exit, $out, $err) = $t->run({}, $t->as_user($t->failoverctl,
	    '-c', $n1->conf, 'init'));

	is($exit, 3, 'refused');
	ok(one_line($err), 'one line') or diag($err);
	is(tree($n1->state_dir . '/secrets') . tree($n1->state_dir . '/tls')
	    . slurp($n1->conf), $before, 'nothing was changed');
	is($t->primary, 'n1', 'the cluster goes on');

	($exit, $out, $err) = $t->run({}, $t->as_user($t->failoverctl, '-c',
	    $n1->conf, 'init', '--cluster', 'other'));
	isnt($exit, 0, 'nor under another name');
	is(($t->status // {})->{cluster}, 'sandbox', 'it keeps its name');
};

subtest 'without an agent' => sub {
	$n1->kill9('agent');
	my ($exit, $out, $err) = $n1->ctl('status');
	is($exit, 5, 'cannot tell') or diag($out, $err);
	ok(one_line($err), 'one line') or diag($err);

	($exit, $out) = $n1->ctl('--format', 'json', 'status');
	is($exit, 5, 'the same as JSON');
	is(decode_json($out)->{health}, 'unknown', 'health is unknown');
};

# The agent is still down: what it says when it may not start.
subtest 'missing certificate, wrong modes' => sub {
	my $cert = $n1->state_dir . '/tls/node.crt';
	my $key = $n1->state_dir . '/tls/node.key';

	rename $cert, "$cert.away" or die "$cert: $!";
	my ($exit, $out, $err) = agent_says($n1->conf);
	is($exit, 78, 'no certificate');
	like($err, qr/\Q$cert\E/, '... names the file');
	is(scalar(grep { /\Q$cert\E/ } split /\n/, $err), 1, '... once')
	    or diag($err);
	rename "$cert.away", $cert or die $!;

	for my $try ([ $key, 0644, 0600 ], [ $n1->state_dir, 0755, 0700 ],
	    [ $n1->state_dir . '/secrets', 0750, 0700 ]) {
		my ($path, $wrong, $right) = @$try;
		chmod $wrong, $path or die "$path: $!";
		($exit, $out, $err) = agent_says($n1->conf);
		is($exit, 78, sprintf 'mode %o of %s', $wrong,
		    $path =~ s/.*\///r);
		like($err, qr/"\Q$path\E".*(?:mode|permission)/i,
		    '... says which file and what about it');
		chmod $right, $path;
	}

	$n1->start;
	ok($t->wait_status(sub { ($_[0]{primary} // '') eq 'n1' &&
	    $_[0]{nodes}[0]{state} eq 'running' }, 60,
	    'the primary after the agent came back'), 'it starts again');
	is($n1->psql('SELECT pg_is_in_recovery()'), 'f', 'and takes writes');
};

done_testing;
