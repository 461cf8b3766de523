# 021: both hosts have clusters made by Debian's pg_createcluster, with their
# configuration in /etc/postgresql.  The running one is adopted, the other one
# is replaced by a standby; afterwards only failoverd starts them.

use strict;
use warnings;

use File::Copy ();
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;

use FailoverdTest qw(slurp tree);

my $t = FailoverdTest->new;
my $n1 = $t->bare_host('n1');
my $n2 = $t->bare_host('n2');
my @root = $> == 0 ? () : ('sudo', '-n');
my ($version) = sort { $b <=> $a } map { m{/(\d+)/bin} }
    glob '/usr/lib/postgresql/*/bin/postgres';
my %name = map { $_ => 'fo' . $$ . $_ } qw(n1 n2);
my $owner = $$;
my $stopped;

# Debian's places of a node.
sub etc { return "/etc/postgresql/$version/$name{$_[0]}" }
sub data { return "/var/lib/postgresql/$version/$name{$_[0]}" }

sub
must
{
	my (@argv) = @_;
	my ($exit, $out, $err) = $t->run({ timeout => 60 }, @argv);

	die "@argv: exit $exit\n$out$err" if $exit != 0;
	return $out;
}

sub
setting
{
	my ($node, $key) = @_;

	return slurp(etc($node) . '/postgresql.conf') =~
	    /^\s*$key\s*=\s*'?([^'#\s]+)/m ? $1 : '';
}

sub
psql
{
	my ($node, $sql) = @_;
	my ($exit, $out) = $t->run({ timeout => 10 },
	    $t->as_user("/usr/lib/postgresql/$version/bin/psql", '-XAtq',
	    '-h', setting($node, 'unix_socket_directories'), '-p',
	    $t->node($node)->pg_port, '-d', 'postgres', '-c', $sql));

	chomp $out;
	return $exit == 0 ? $out : undef;
}

sub
create
{
	my ($node) = @_;

	must(@root, 'pg_createcluster', '-u', $t->{user}, '-p',
	    $t->node($node)->pg_port, $version, $name{$node}, '--', '-k');
}

# Without the keys that Debian's own files decide.
sub
place
{
	my ($node) = @_;
	my @words = $t->node($node)->place;
	my @kept;

	while (my ($option, $value) = splice @words, 0, 2) {
		push @kept, $option, $value if $value !~
		    /^postgresql\.(?:listen_addresses|socket_dir)=/;
	}
	return @kept;
}

# The servers end as their administrator would end them, so that no shared
# memory stays behind: first who would start them again, then they.
sub
stop_servers
{
	return if $stopped++;
	for my $node ($n2, $n1) {
		kill KILL => $node->pids('agent');
		my $pid = (split /\n/, slurp(data($node->name) .
		    '/postmaster.pid'))[0] // next;
		kill INT => $pid;
		$t->wait_until(sub { !-e data($node->name) .
		    '/postmaster.pid' }, 20, "the end of postmaster $pid");
	}
}

END {
	if ($$ == $owner) {
		my $status = $?;
		my $failed = $status != 0 ||
		    !Test::More->builder->is_passing;
		eval { stop_servers() };
		$t->down($failed) if -e $t->dir;
		for my $node (grep { -e etc($_) } sort keys %name) {
			File::Copy::copy('/var/log/postgresql/postgresql-'
			    . "$version-$name{$node}.log",
			    $t->scratch("$node.log")) if $failed;
			my ($exit, $out, $err) = $t->run({ timeout => 60 },
			    @root, 'pg_dropcluster', '--stop', $version,
			    $name{$node});
			diag("pg_dropcluster: $out$err") if $exit != 0;
		}
		$? = $status;
	}
}

create($_) for qw(n1 n2);
must(@root, 'pg_ctlcluster', $version, $name{n1}, 'start');
is(psql('n1', 'SHOW server_version_num') // 'no answer',
    psql('n1', "SELECT current_setting('server_version_num')"),
    'a Debian cluster runs');
psql('n1', 'CREATE TABLE old AS SELECT generate_series(1, 1000) AS n') // die;
my ($first_pid) = split /\n/, slurp(data('n1') . '/postmaster.pid');
my @init = ($t->as_user($t->failoverctl), '-c', $n1->conf, 'init',
    '--cluster', 'sandbox', '--node', 'n1', '--adopt', data('n1'),
    place('n1'), map { ('--set', "$_=$t->{settings}{$_}") }
    sort keys %{$t->{settings}});

subtest 'init --adopt --dry-run' => sub {
	my $before = tree(etc('n1'));
	my ($exit, $out, $err) = $t->run({ timeout => 60 }, @init,
	    '--dry-run');

	is($exit, 0, 'it would work') or diag($out, $err);
	like($out . $err, qr/postgresql\.conf/, 'it lists what it changes');
	is(tree(etc('n1')), $before, 'the configuration is as it was');
	ok(!-e $n1->conf, 'no failoverd.conf is left');
	is((split /\n/, slurp(data('n1') . '/postmaster.pid'))[0],
	    $first_pid, 'PostgreSQL was not restarted');
};

subtest 'init --adopt' => sub {
	my ($exit, $out, $err) = $t->run({ timeout => 60 }, @init, '--yes',
	    '--format', 'json');

	is($exit, 0, 'adopted') or diag($out, $err);
	my $line = (eval { decode_json($out) } // {})->{data}
	    {authorized_keys};
	ok($line, 'the line for new hosts') or return;
	for my $node ($n1, $n2) {
		open my $file, '>', $node->dir . '/authorized_keys' or die $!;
		print $file "$line\n";
		close $file;
	}
	ok($t->wait_status(sub { ($_[0]{primary} // '') eq 'n1' &&
	    $_[0]{nodes}[0]{state} eq 'running' }, 30, 'a primary'),
	    'it is the primary');
	is(psql('n1', 'SELECT count(*) FROM old'), '1000', 'with its data');
	is(psql('n1', 'SHOW port'), $n1->pg_port, 'on its port');
	is(psql('n1', 'SHOW config_file'), etc('n1') . '/postgresql.conf',
	    'with its configuration file');
	isnt((split /\n/, slurp(data('n1') . '/postmaster.pid'))[0],
	    $first_pid, 'inside the guard now');

	my $conf = slurp(etc('n1') . '/postgresql.conf');
	my $original = slurp(etc('n1') . '/postgresql.conf.before-failoverd');
	like($conf, qr/^include\S* .*owned\.conf'[^\n]*\n\z/m,
	    'one include, as last line');
	is(index($conf, $original), 0, 'all else as it was');
	isnt($original, '', '... and the original is kept');
};

my @clone = ('clone-standby', $n2->ssh_target, '--name', 'n2', '--data-dir',
    data('n2'), place('n2'));
subtest 'the data of the other one' => sub {
	my $before = tree(data('n2')) . tree(etc('n2'));
	my ($exit, $out, $err) = $t->ctl(@clone);

	is($exit, 3, 'is not replaced unasked') or diag($out, $err);
	like($err, qr/--replace/, 'it says how to ask');
	is(tree(data('n2')) . tree(etc('n2')), $before,
	    'nothing was changed');
};

subtest 'clone-standby --replace' => sub {
	my ($exit, $out, $err) = $t->ctl(@clone, '--replace');

	is($exit, 0, 'cloned') or diag($out, $err);
	ok($t->wait_status(sub {
		my $line = $n2->status($_[0]);
		return $line && $line->{state} eq 'streaming';
	}, 30, 'n2 streaming'), 'it streams');
	is(psql('n2', 'SELECT pg_is_in_recovery()'), 't', 'it is a standby');
	is(psql('n2', 'SELECT count(*) FROM old'), '1000', 'with the data');
	is(psql('n2', 'SHOW port'), $n2->pg_port, 'on its own port');
	is(psql('n2', 'SHOW config_file'), etc('n2') . '/postgresql.conf',
	    'with its own configuration file');
};

for my $node (qw(n1 n2)) {
	subtest "only failoverd starts $node" => sub {
		like(slurp(etc($node) . '/start.conf'), qr/^\s*disabled\s*$/m,
		    'start.conf says disabled');
		for my $force ([], ['--force']) {
			my ($exit, $out, $err) = $t->run({}, @root,
			    'pg_ctlcluster', @$force, $version, $name{$node},
			    'start');
			isnt($exit, 0, "pg_ctlcluster @$force refuses");
			like($out . $err, qr/disabled/, '... for that reason');
		}
		my ($row) = grep { /^\Q$version\E\s+\Q$name{$node}\E\s/ }
		    split /\n/, must('pg_lsclusters', '-h');
		like($row, qr/\sonline/, 'pg_lsclusters finds it running');
	};
}

done_testing;
