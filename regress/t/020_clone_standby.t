# 020: clone-standby over a real sshd; what it refuses leaves the host as it
# was; the password goes by no way that others can see.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Find;
use Test::More;
use Time::HiRes qw(sleep);

use FailoverdTest qw(one_line slurp tree);

my $t = FailoverdTest->new(nodes => 1)->up;
my $n1 = $t->node('n1');
my $n2 = $t->bare_host('n2');
my $known_hosts = $t->dir . '/known_hosts';

sub
write_file
{
	my ($path, $text) = @_;

	open my $file, '>', $path or die "$path: $!";
	print $file $text;
	close $file or die "$path: $!";
}

# Like the user of the nodes: such files have to be its own.
sub
give
{
	my ($path) = @_;

	chown +(getpwnam $t->{user})[2, 3], $path if $> == 0;
}

# What is on the host, but for what its sshd writes down.
sub
host_files
{
	my ($node) = @_;

	return join "\n", grep { !m{^/sshd\.log } }
	    split /\n/, tree($node->dir);
}

sub
clone
{
	my ($node, @more) = @_;

	return $t->ctl('clone-standby', $node->ssh_target, '--name',
	    $node->name, '--data-dir', $node->data_dir, $node->place, @more);
}

# refused(WHAT, PATTERN, ARGS...): exit 3, one line, nothing left behind.
sub
refused
{
	my ($what, $pattern, @args) = @_;

	subtest $what => sub {
		my $files = host_files($n2);
		my $processes = join ' ', $n2->pids;
		my ($exit, $out, $err) = $t->ctl('clone-standby', @args);
		my @errors = grep { /^failoverctl: / } split /\n/, $err;

		is($exit, 3, 'refused') or diag($out, $err);
		is(scalar @errors, 1, 'one line') or diag($err);
		like($err, $pattern, 'it says why');
		is(host_files($n2), $files, 'nothing is left on the host');
		ok($t->wait_until(sub { join(' ', $n2->pids) eq $processes },
		    10, 'the processes of before'), 'no process either');
		my $status = $t->status;
		is_deeply([ map { $_->{name} } @{$status->{nodes}} ],
		    [ 'n1' ], 'no member either');
		is($n1->psql('SELECT count(*) FROM pg_replication_slots'),
		    '0', 'no slot either');
	};
}

my @place = ('--name', 'n2', '--data-dir', $n2->data_dir, $n2->place);

# --- What is refused ------------------------------------------------------

refused('a host that does not answer', qr/127\.0\.0\.1.*(?:connect|refused)/i,
    "$t->{user}\@127.0.0.1:1", @place);

my $known = slurp($known_hosts);
my $port = $n2->ssh_port;
my (undef, $listing) = $t->run({}, 'ssh-keygen', '-lf',
    $n2->dir . '/host_key.pub');
my ($fingerprint) = $listing =~ /(SHA256:\S+)/;
write_file($known_hosts, $known =~ s/^\[127\.0\.0\.1\]:$port .*\n//mr);

refused('an unknown host key', qr/^failoverctl: .*\Q$fingerprint\E/m,
    $n2->ssh_target, @place);
refused('another host key than was accepted', qr/\Q$fingerprint\E/,
    $n2->ssh_target, @place, '--accept-host-key',
    'SHA256:' . 'A' x 43);

my (undef, $other) = $t->run({}, 'ssh-keygen', '-q', '-t', 'ed25519', '-N',
    '', '-f', $t->scratch('other'));
my $other_key = slurp($t->scratch('other.pub'));
write_file($known_hosts, $known =~
    s/^(\[127\.0\.0\.1\]:$port) .*/"$1 " . ($other_key =~ s{ \S+\n}{}r)/emr);
refused('a host key that changed', qr/key.*(?:changed|differ|other|match)/i,
    $n2->ssh_target, @place);
write_file($known_hosts, $known);

my $authorized = slurp($n2->dir . '/authorized_keys');
write_file($n2->dir . '/authorized_keys', $other_key);
refused('a key that the host does not know', qr/authorized_keys/,
    $n2->ssh_target, @place);
write_file($n2->dir . '/authorized_keys', $authorized);

mkdir $n2->data_dir, 0700;
write_file($n2->data_dir . '/precious', "do not lose this\n");
give($_) for $n2->data_dir, $n2->data_dir . '/precious';
refused('a directory with something in it',
    qr/\Q@{[$n2->data_dir]}\E.*not empty/, $n2->ssh_target, @place);
refused('not even --replace takes what is no PostgreSQL',
    qr/\Q@{[$n2->data_dir]}\E.*no data directory/, $n2->ssh_target, @place,
    '--replace');
is(slurp($n2->data_dir . '/precious'), "do not lose this\n",
    'it is still there');
unlink $n2->data_dir . '/precious';
rmdir $n2->data_dir;

my $major = int($n1->psql('SHOW server_version_num') / 10000);
my ($real) = glob "/usr/lib/postgresql/$major/bin";
my $fake = $t->scratch('bin');
mkdir $fake;
symlink $_, "$fake/" . s/.*\///r for grep { !/\/postgres$/ } glob "$real/*";
write_file("$fake/postgres",
    "#!/bin/sh\necho 'postgres (PostgreSQL) @{[$major - 1]}.9'\n");
chmod 0755, "$fake/postgres", $fake;
refused('another major version', qr/\b@{[$major - 1]}\b.*\b$major\b/,
    $n2->ssh_target, @place, '--conf', "postgresql.bin_dir=$fake");

refused('the name of a member', qr/"?n1"?/, $n2->ssh_target, '--name', 'n1',
    '--data-dir', $n2->data_dir, $n2->place);

subtest 'names that cannot be' => sub {
	my ($exit, $out, $err) = $t->ctl('clone-standby', $n2->ssh_target,
	    '--name', 'N_2');
	is($exit, 64, 'a usage error');
	ok(one_line($err), 'one line') or diag($err);

	($exit, $out, $err) = $t->ctl('promote', 'n9', '--yes');
	is($exit, 3, 'promote of a node that is none');
	ok(one_line($err), 'one line') or diag($err);
	like($err, qr/n9/, 'it names it');
};

# --- What works -----------------------------------------------------------

# Everything that any process on this machine shows to others: arguments and
# environments, as often as can be.
my $seen_file = $t->scratch('processes');
my $watcher = fork // die $!;
if ($watcher == 0) {
	my %seen;
	$t->forget;
	$SIG{TERM} = sub {
		write_file($seen_file, join "\n", keys %seen);
		POSIX::_exit(0);
	};
	for (;;) {
		for my $file (glob '/proc/[0-9]*/{cmdline,environ}') {
			my $text = slurp($file);
			$seen{$text} = 1 if $text ne '';
		}
		sleep 0.02;
	}
}

$n1->psql('CREATE TABLE before_clone AS SELECT 42 AS n') // die;
my @said;
write_file($known_hosts, $known =~ s/^\[127\.0\.0\.1\]:$port .*\n//mr);
my ($exit, $out, $err) = clone($n2, '--format', 'json',
    '--accept-host-key', $fingerprint);
push @said, $out, $err;
kill TERM => $watcher;
waitpid $watcher, 0;
is($exit, 0, 'clone-standby with --accept-host-key') or diag($out, $err);
write_file($known_hosts, $known);

ok($t->wait_status(sub {
	my $line = $n2->status($_[0]) // return 0;
	return $line->{role} eq 'standby' && $line->{state} eq 'streaming' &&
	    ($line->{upstream} // '') eq 'n1';
}, 20, 'n2 streaming from n1'), 'n2 streams');
is($n2->psql('SELECT n FROM before_clone'), '42', 'it has the data');
is($n2->in_recovery, 't', 'it is a standby');
is($n2->psql('SELECT status FROM pg_stat_wal_receiver'), 'streaming',
    'PostgreSQL says so too');
is($n1->psql('SELECT slot_name, active FROM pg_replication_slots'),
    'failoverd_n2|t', 'by its slot');
unlike($n2->psql('SELECT conninfo FROM pg_stat_wal_receiver') // 'password=',
    qr/password=(?!\*)/, 'no password in primary_conninfo');
$n1->psql('INSERT INTO before_clone VALUES (43)');
ok($t->wait_until(sub {
	($n2->psql('SELECT count(*) FROM before_clone') // '') eq '2'
}, 10, 'the new row on n2'), 'it follows');

subtest 'two nodes' => sub {
	my $status = $t->status;
	is($status->{quorum}{voters}, 1, 'the second is no voter yet');
	ok(scalar(grep { $_->{text} =~ /no automatic failover/ }
	    @{$status->{warnings}}), 'status warns')
	    or diag(explain($status->{warnings}));
};

my $n3 = $t->bare_host('n3');
($exit, $out, $err) = clone($n3, '--format', 'json');
push @said, $out, $err;
is($exit, 0, 'a second standby') or diag($out, $err);
my $status = $t->wait_status(sub {
	$_[0]{quorum}{voters} == 3 && $_[0]{health} eq 'healthy' &&
	    2 == grep { $_->{state} eq 'streaming' } @{$_[0]{nodes}};
}, 60, 'three voters, healthy');
ok($status, 'three voters');
is($status->{quorum}{needed}, 2, 'two make a majority');
is($status->{durability}, 'preferred', 'commits wait for a standby');
is($status->{primary}, 'n1', 'n1 is still the primary');

# --- Secrets --------------------------------------------------------------

subtest 'the password is nowhere' => sub {
	my ($line) = grep { /failoverd_replication/ }
	    split /\n/, slurp($n2->state_dir . '/secrets/replication.pgpass');
	my $password = ($line // '') =~ s/.*://r;
	cmp_ok(length $password, '>=', 32, 'there is one') or return;
	my %secret = (password => $password);
	for my $node ($n1, $n2, $n3) {
		for my $file (grep { -f } glob($node->state_dir .
		    '/secrets/*'), glob($node->state_dir . '/tls/*.key')) {
			$secret{$file} = $1 if slurp($file) =~
			    /PRIVATE KEY-----\n(\S{40,})/;
		}
	}
	my $any = join '|', map { quotemeta } values %secret;

	my $shown = slurp($seen_file);
	like($shown, qr/pg_basebackup/, 'the clone was watched');
	like($shown, qr/failover-provision\0--target/, 'all of it');
	unlike($shown, qr/$any/, 'no process showed a secret');

	my @where;
	find({ no_chdir => 1, wanted => sub {
		return if !-f || m{/secrets/|/tls/[^/]+\.key$|/host_key$};
		push @where, $_ if slurp($_) =~ /$any/;
	} }, $t->dir);
	is_deeply(\@where, [], 'no file has one, but those for them');

	push @said, map { join '', $t->ctl('--format', 'json', @$_) }
	    ['status', '--verbose'], ['explain'], ['events'], ['jobs'];
	unlike(join('', @said), qr/$any/, 'no answer has one');
};

is($t->down, 0, 'down');
ok(!-e $t->dir, 'and away');
done_testing;
