#!/usr/bin/perl
# failover-provision --worker against a real sshd and its own --target.
#
# This test plays the coordinator's agent.  The host is a directory and an
# sshd on a high port; in the place of failoverd stands a small program with
# a control socket, but for the last part.  Nothing of it needs root: started
# as root it drops to postgres.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use File::Find ();
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use IPC::Open2;
use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my $PATIENCE = 60;		# seconds for one job; they take less than one
my $top = $ENV{FAILOVERD_SRC} // abs_path(dirname(__FILE__) . '/../..');
my $build = $ENV{FAILOVERD_BUILD} // $top;
my $json = JSON::PP->new->canonical->utf8;

# Everything needed is copied where postgres can read it.
if (!defined $ENV{PROVISION_TEST_DIR}) {
	my $scratch = tempdir('provXXXXXX', DIR => '/tmp');
	my %programs = (
		"$build/failover-provision" => 'bin/failover-provision',
		(map { ("$build/./$_" => "real/$_") } qw(failoverd
		    failover-guard failover-provision)),
		"$build/obj/regress/t/provision_sign" => 'bin/provision_sign',
		abs_path(__FILE__) => basename(__FILE__),
	);

	chmod 0755, $scratch;
	make_path("$scratch/bin", "$scratch/real");
	for my $from (keys %programs) {
		copy($from, "$scratch/$programs{$from}") or
		    die "$from: $!: run \"make\"\n";
		chmod 0755, "$scratch/$programs{$from}";
	}
	my ($name, $uid, $gid) = (getpwnam('postgres'))[0, 2, 3];
	my @as;
	if ($> == 0) {
		chown $uid, $gid, $scratch, "$scratch/bin", "$scratch/real";
		@as = ('runuser', '-u', $name, '--');
	}
	$ENV{PROVISION_TEST_DIR} = $scratch;
	chdir $scratch;
	exec @as, $^X, "$scratch/" . basename(__FILE__) or die "exec: $!\n";
}

my $dir = $ENV{PROVISION_TEST_DIR};
my $bin = "$dir/bin";
my $user = getpwuid $>;
my $owner = $$;
my (%sshds, %agents);
my ($pg_major) = sort { $b <=> $a } map { m{/(\d+)/bin$} ? $1 : () }
    grep { -x "$_/postgres" } glob '/usr/lib/postgresql/*/bin';
defined $pg_major or die "no PostgreSQL server in /usr/lib/postgresql\n";
$SIG{PIPE} = 'IGNORE';
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

END {
	if ($$ == $owner && defined $dir) {
		my $status = $?;
		kill 'TERM', values %sshds, keys %agents;
		if ($status == 0 && Test::More->builder->is_passing) {
			chdir '/';
			remove_tree($dir);
		} else {
			diag("kept $dir");
		}
		$? = $status;
	}
}

sub now { return clock_gettime(CLOCK_MONOTONIC) }

sub wait_until {
	my ($condition) = @_;
	my $end = now() + $PATIENCE;
	my $value;

	until ($value = $condition->()) {
		return if now() > $end;
		select undef, undef, undef, 0.02;
	}
	return $value;
}

sub slurp {
	my ($path) = @_;
	local $/;

	open my $file, '<', $path or return '';
	return scalar <$file> // '';
}

sub spew {
	my ($path, $text, $mode) = @_;

	make_path(dirname($path));
	open my $file, '>', $path or die "$path: $!";
	print $file $text;
	close $file or die "$path: $!";
	chmod $mode // 0600, $path;
}

sub run {
	my ($input, @argv) = @_;

	my $pid = open2(my $out, my $in, @argv);
	print $in $input;
	close $in;
	my $text = do { local $/; <$out> };
	waitpid $pid, 0;
	return ($? >> 8, $text // '');
}

sub quietly {
	system(@_) == 0 or die "@_ failed: $?\n";
}

my %used;
sub free_port {
	for (1 .. 100) {
		my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
		    Listen => 1) or next;
		my $port = $socket->sockport;
		return $port if !$used{$port}++;
	}
	die "no free port\n";
}

sub fingerprint {
	my ($file) = @_;
	my (undef, $text) = run('', 'ssh-keygen', '-lf', $file);

	return (split ' ', $text)[1];
}

sub public {
	my ($file) = @_;

	return join ' ', (split ' ', slurp("$file.pub"))[0, 1];
}

# Every path below a directory with its mode and content.
sub tree {
	my ($root) = @_;
	my %seen;

	File::Find::find({ no_chdir => 1, wanted => sub {
		my $mode = sprintf '%o', (lstat $_)[2] & 07777;
		$seen{$_} = -d _ ? "directory $mode" :
		    "file $mode " . slurp($_);
	} }, $root);
	return \%seen;
}

# --- The host -------------------------------------------------------------

# In the place of the agent: a control socket, a state, an end at SIGTERM.
spew("$bin/failoverd", <<"END", 0755);
#!$^X
use strict;
use IO::Socket::UNIX;
my (undef, \$file) = \@ARGV;
open my \$in, '<', \$file or die "\$file: \$!\\n";
my \%conf = map { /\\b(state_dir|run_dir) = "(.*?)";/g } <\$in>;
if (-e "$dir/refuse-start") {
	print STDERR "starting\\nFATAL: the disk is made of cheese\\n";
	exit 1;
}
my \$path = "\$conf{run_dir}/control.sock";
unlink \$path;
for my \$name ('state.1', 'incarnation', 'events.log') {
	open my \$out, '>', "\$conf{state_dir}/\$name" or die "\$name: \$!\\n";
}
mkdir "\$conf{state_dir}/secrets", 0700;
open my \$out, '>', "\$conf{state_dir}/secrets/replication.pgpass" or die;
my \$socket = IO::Socket::UNIX->new(Local => \$path, Listen => 8) or
    die "\$path: \$!\\n";
print STDERR "ready\\n";
accept my \$client, \$socket while 1;
END
spew("$bin/failover-guard", "#!/bin/false\n", 0755);

my $serial = 0;

# One host: its directories, its sshd.  host_keys and authorized as wanted.
sub new_host {
	my (%option) = @_;
	my $root = "$dir/host" . ++$serial;
	my $port = free_port();
	my @keys = @{$option{host_keys} // ["$dir/host_ed25519",
	    "$dir/host_ecdsa"]};
	my $line = $option{authorized} // default_line();

	make_path("$root/etc", "$root/run", "$root/pg", "$root/ssh");
	spew("$root/ssh/authorized_keys", "$line\n");
	spew("$root/ssh/config", join("\n", "Port $port",
	    'ListenAddress 127.0.0.1', (map { "HostKey $_" } @keys),
	    "PidFile $root/ssh/pid", 'UsePAM no', 'StrictModes no',
	    "AuthorizedKeysFile $root/ssh/authorized_keys",
	    'PasswordAuthentication no', 'KbdInteractiveAuthentication no',
	    "SetEnv FAILOVERD_CONFIG=$root/etc/failoverd.conf" .
	    ($option{env} // ''), '') );
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		exec '/usr/sbin/sshd', '-D', '-f', "$root/ssh/config", '-E',
		    "$root/ssh/log" or POSIX::_exit(127);
	}
	$sshds{$root} = $pid;
	wait_until(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1',
	    PeerPort => $port) }) or die "sshd does not answer: " .
	    slurp("$root/ssh/log");
	return { root => $root, port => $port, known => "$root/known_hosts",
	    agent_port => free_port(), pg_port => free_port() };
}

sub stop_host {
	my ($host) = @_;

	kill 'TERM', $sshds{$host->{root}};
	waitpid delete $sshds{$host->{root}}, 0;
}

sub know {
	my ($host, @lines) = @_;

	spew($host->{known}, join '', map { "$_\n" } @lines);
}

sub name_of { return "[127.0.0.1]:$_[0]{port}" }

sub default_line {
	my ($status, $line) = run('', "$bin/provision_sign", 'authorize',
	    "$dir/key.pub", 'sales');

	chomp $line;
	return $line;
}

# --- The agent ------------------------------------------------------------

sub job {
	my ($host, %change) = @_;
	my $root = $host->{root};
	my %conf = (
		cluster => 'sales', node => 'n2',
		listen => "127.0.0.1:$host->{agent_port}",
		advertise => "127.0.0.1:$host->{agent_port}",
		peers => ['127.0.0.1:7001', '127.0.0.1:7002'],
		'postgresql.advertise' => "127.0.0.1:$host->{pg_port}",
		'postgresql.data_dir' => "$root/pg/main",
		state_dir => "$root/state", run_dir => "$root/run/fo",
		%{delete $change{conf} // {}},
	);
	my %facts = (pg_major => $pg_major, data_bytes => 1000000,
	    replace => JSON::PP::false, %{delete $change{facts} // {}});

	delete $conf{$_} for grep { !defined $conf{$_} } keys %conf;
	return { op => 'provision', job => '12', host => '127.0.0.1',
	    port => $host->{port}, user => $user, ssh_key => "$dir/key",
	    known_hosts => ["$dir/no_such_file", $host->{known}],
	    accept_host_key => undef, known_host_line => undef,
	    ca => slurp("$dir/ca/ca.crt"), conf => \%conf, facts => \%facts,
	    %change };
}

# Answers "sign" as an agent does.
sub certificate {
	my ($message, $ca) = @_;
	my ($status, $cert) = run($message->{csr}, "$bin/provision_sign",
	    'sign', $ca // "$dir/ca", $message->{node});

	return $status == 0 ? { type => 'certificate', cert => $cert } :
	    { type => 'refused', text => 'could not sign' };
}

# One worker: what it said, its exit status.  at => { TYPE => sub } is asked
# for the answer to a message; undef = none, 'kill' = SIGKILL.
sub work {
	my ($job, %at) = @_;
	my $end = now() + $PATIENCE;
	my ($text, @said) = ('');

	$at{sign} //= \&certificate;
	my $pid = open2(my $out, my $in, "$bin/failover-provision",
	    '--worker');
	my $select = IO::Select->new($out);
	$in->autoflush(1);
	print $in $json->encode($job), "\n";
	READ: while ($select->can_read($end - now())) {
		sysread $out, $text, 65536, length $text or last;
		while ($text =~ s/^(.*)\n//) {
			my $message = eval { $json->decode($1) } //
			    { type => 'garbage', text => $1 };
			push @said, $message;
			$agents{$1} = 1 if ($message->{text} // '') =~
			    /agent started, pid (\d+)/;
			my $answer = $at{$message->{type}} or next;
			$answer = $answer->($message);
			if (defined $answer && !ref $answer) {
				kill 'KILL', $pid;
				last READ;
			}
			print $in $json->encode($answer), "\n" if $answer;
		}
	}
	kill 'KILL', $pid if now() >= $end;
	waitpid $pid, 0;
	return { said => \@said, status => $? >> 8, signal => $? & 127,
	    raw => join '', map { $json->encode($_) } @said };
}

sub of_type {
	my ($result, $type) = @_;

	return grep { $_->{type} eq $type } @{$result->{said}};
}

sub last_of { return (of_type(@_))[-1] // {} }

sub findings {
	my ($result, $level) = @_;

	return map { $_->{text} } grep { $_->{level} eq $level }
	    of_type($result, 'finding');
}

sub show {
	my ($result) = @_;

	diag($json->encode($_)) for @{$result->{said}};
}

# It ended well.
sub done_ok {
	my ($result, $name) = @_;

	ok($result->{status} == 0 && last_of($result, 'done')->{text}, $name)
	    or show($result);
}

# It was refused with these words in text and hint; the host is as before.
sub refused {
	my ($host, $result, $text, $hint, $name) = @_;
	my $error = last_of($result, 'error');

	ok($result->{status} == 1 && ($error->{text} // '') =~ $text &&
	    ($error->{hint} // '') =~ $hint && !$error->{changed} &&
	    $error->{text} !~ /\n/, $name) or show($result);
	return if !defined $host;
	is_deeply(tree_of($host), $host->{before}, "$name: nothing changed")
	    if exists $host->{before};
}

sub session_of {
	return (split ' ', slurp("/proc/$_[0]/stat") =~ s/^.*\) //r)[3];
}

# The host without what sshd writes.
sub tree_of {
	my ($host) = @_;
	my $tree = tree($host->{root});

	delete @$tree{grep { m{^\Q$host->{root}\E/ssh} } keys %$tree};
	return $tree;
}

# These texts, one after the other, with anything between.
sub in_order {
	my $pattern = join '.*', map { quotemeta } @_;

	return qr/$pattern/;
}

# One failing finding among others.
sub has_fail {
	my ($result, $text, $name) = @_;

	ok($result->{status} == 1 && (grep { $_ =~ $text }
	    findings($result, 'fail')), $name) or show($result);
}

# --- Keys -----------------------------------------------------------------

quietly("$bin/failover-provision", '--make-key', "$dir/key",
    'failoverd:sales');
is(sprintf('%o', (stat "$dir/key")[2] & 0777), '600',
    '--make-key: only its owner can read the key');
like(slurp("$dir/key.pub"), qr/^ssh-ed25519 \S+ failoverd:sales$/,
    '--make-key: Ed25519 with its comment');
{
	my $before = slurp("$dir/key");
	open my $saved, '>&', \*STDERR;
	open STDERR, '>', "$dir/err";
	my $status = system "$bin/failover-provision", '--make-key',
	    "$dir/key", 'x';
	open STDERR, '>&', $saved;
	ok($status != 0 && slurp("$dir/key") eq $before,
	    '--make-key: never over an existing key');
	like(slurp("$dir/err"), qr/exists and is left as it is/,
	    '--make-key: and says so');
}

quietly('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f',
    "$dir/host_ed25519");
quietly('ssh-keygen', '-q', '-t', 'ecdsa', '-N', '', '-f',
    "$dir/host_ecdsa");
quietly('ssh-keygen', '-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f',
    "$dir/host_rsa");
quietly('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', "$dir/other");
quietly('ssh-keygen', '-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f',
    "$dir/rsa_key");
quietly('ssh-keygen', '-q', '-t', 'ed25519', '-N', 'secret', '-f',
    "$dir/locked_key");
make_path("$dir/ca", "$dir/other_ca");
quietly("$bin/provision_sign", 'ca', 'sales', "$dir/ca");
quietly("$bin/provision_sign", 'ca', 'sales', "$dir/other_ca");
my $ed25519 = fingerprint("$dir/host_ed25519.pub");
my $ecdsa = fingerprint("$dir/host_ecdsa.pub");

# --- Whose host key -------------------------------------------------------

my $host = new_host();
my @check = (op => 'check');
$host->{before} = tree_of($host);

refused($host, work(job($host)), in_order('unknown host "127.0.0.1"',
    'ssh-ed25519', $ed25519, 'failoverctl clone-standby 127.0.0.1 ',
    "--accept-host-key $ed25519"), qr/ssh-keygen -lf .*ssh-keyscan/,
    'unknown host');
refused($host, work(job($host, @check, accept_host_key =>
    'SHA256:' . 'A' x 43)), in_order($ed25519, 'it is not the accepted',
    'SHA256:AAAA'),
    qr/Compare/, 'another fingerprint accepted');
{
	my $result = work(job($host, @check, accept_host_key => $ed25519));
	done_ok($result, 'the accepted fingerprint');
	my $key = last_of($result, 'host_key');
	is($key->{fingerprint}, $ed25519, 'host_key: fingerprint');
	is($key->{line}, name_of($host) . ' ' . public("$dir/host_ed25519"),
	    'host_key: known_hosts line');
	done_ok(work(job($host, @check, known_host_line => $key->{line})),
	    'the line of the job makes it known');
	is_deeply(tree_of($host), $host->{before},
	    'check: nothing changed on the host');
}
{
	my $result = work(job($host, @check, accept_host_key => $ecdsa));
	done_ok($result, 'the accepted fingerprint is of the ECDSA key');
	is(last_of($result, 'host_key')->{fingerprint}, $ecdsa,
	    'and that key was asked for');
}
know($host, 'nonsense', name_of($host) . ' ssh-ed25519 AAA!',
    name_of($host) . ' ' . public("$dir/host_ed25519"));
done_ok(work(job($host, @check)), 'known_hosts with malformed lines');
know($host, name_of($host) . ' ' . public("$dir/host_ecdsa"));
{
	my $result = work(job($host, @check));
	done_ok($result, 'known_hosts holds only the ECDSA key');
	is(last_of($result, 'host_key')->{fingerprint}, $ecdsa,
	    'so it was asked for');
}
know($host, name_of($host) . ' ' . public("$dir/host_ed25519"));
quietly("ssh-keygen -q -H -f $host->{known} >/dev/null 2>&1");
like(slurp($host->{known}), qr/^\|1\|/, 'known_hosts is hashed');
done_ok(work(job($host, @check)), 'hashed known_hosts');

delete $host->{before};
know($host, name_of($host) . ' ' . public("$dir/other"));
$host->{before} = tree_of($host);
refused($host, work(job($host)), in_order('THE HOST KEY OF "127.0.0.1"',
    'HAS CHANGED', $ed25519, 'line 1 holds SHA256:'),
    qr/ssh-keygen -f \S+ -R/, 'changed host key');
{
	my $result = work(job($host, @check, accept_host_key => $ed25519));
	done_ok($result, 'changed, but the new fingerprint was typed');
	like((findings($result, 'warn'))[0] // '', qr/holds another key/,
	    'with a warning');
}
delete $host->{before};
know($host, '@revoked * ' . public("$dir/host_ed25519"),
    name_of($host) . ' ' . public("$dir/host_ed25519"));
refused($host, work(job($host, accept_host_key => $ed25519)),
    qr/marks as revoked/, qr/never accepted/, 'revoked host key');
know($host, '@cert-authority * ' . public("$dir/host_ed25519"));
refused($host, work(job($host)), qr/^unknown host/, qr/Compare/,
    'a certificate authority makes no key known');
know($host, name_of($host) . ' ' . public("$dir/host_rsa"));
refused($host, work(job($host)), in_order('unknown host',
    'only by an RSA key, and libssh2 1.10 cannot use RSA host keys'),
    qr/Compare/,
    'known only by an RSA key');
{
	my $rsa = new_host(host_keys => ["$dir/host_rsa"]);
	refused($rsa, work(job($rsa)), in_order('has only RSA host keys (',
	    'rsa', '), and libssh2 1.10 cannot use RSA host keys'),
	    qr/ssh-keygen -A/, 'a host with nothing but an RSA key');
	stop_host($rsa);
}

# --- Logging in -----------------------------------------------------------

know($host, name_of($host) . ' ' . public("$dir/host_ed25519"));
$host->{before} = tree_of($host);
refused($host, work(job($host, port => free_port())),
    qr/could not connect .*: Connection refused/, qr/No sshd listens/,
    'no sshd');
{
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
	    Listen => 1) or die;
	my $pid = fork // die;
	if ($pid == 0) {
		my $client = $listener->accept;
		print $client "HTTP/1.0 400 Bad Request\r\n\r\n";
		$client->close;
		POSIX::_exit(0);
	}
	refused($host, work(job($host, port => $listener->sockport)),
	    qr/does not speak SSH|no SSH session/, qr/port|log of sshd/,
	    'what listens is no sshd');
	waitpid $pid, 0;
}
refused($host, work(job($host, ssh_key => "$dir/rsa_key")),
    qr/is an RSA key, and libssh2 1\.10 cannot use RSA user keys/,
    qr/--make-key/, 'RSA user key');
refused($host, work(job($host, ssh_key => "$dir/locked_key")),
    qr/protected by a passphrase/, qr/--make-key/, 'key with a passphrase');
refused($host, work(job($host, ssh_key => "$dir/nothing")),
    qr/could not open the SSH key/, qr/init/, 'no key');
refused($host, work(job($host, ssh_key => "$dir/key.pub")),
    qr/no private key|may be read/, qr/./, 'a public key is no key');
chmod 0640, "$dir/key";
refused($host, work(job($host)), qr/may be read by others/, qr/chmod 600/,
    'a key that others can read');
chmod 0600, "$dir/key";
refused($host, work(job($host, ssh_key => "$dir/other")),
    qr/refused the cluster's SSH key for user "\Q$user\E"/,
    in_order('Append this line to', 'authorized_keys', 'restrict,' .
    'port-forwarding,permitopen="127.0.0.1:1",command="' . $bin .
    '/failover-provision --target" ' . public("$dir/other") .
    ' failoverd:sales'), 'the host does not know the key');
{
	my $key = public("$dir/key");
	for my $case (
		["restrict,command=\"$dir/none/failover-provision --target\" ",
		    '', qr/has no failover-provision \(exit status 127/,
		    qr/Install the package/, 'no failover-provision'],
		['', '', qr/has no failover-provision \(exit status 127/,
		    qr/path in command=/, 'no forced command, none in PATH'],
		['command="/bin/echo welcome" ', '',
		    qr/did not start failover-provision .*"welcome"/,
		    qr/command=/, 'another forced command'],
		['command="/bin/true" ', '', qr/ended at once/, qr/key's line/,
		    'a forced command that says nothing'],
		['command="/bin/cat" ', '', undef, undef, 'echo'],
		['', " PATH=$bin:/usr/bin:/bin", undef, undef,
		    'not forced'],
	) {
		my ($options, $env, $text, $hint, $name) = @$case;
		next if $name eq 'echo';
		my $other = new_host(authorized => "$options$key",
		    env => $env);
		know($other, name_of($other) . ' ' .
		    public("$dir/host_ed25519"));
		if (defined $text) {
			refused($other, work(job($other, @check)), $text,
			    $hint, $name);
		} else {
			my $result = work(job($other, @check));
			done_ok($result, "$name: works");
			like((findings($result, 'warn'))[0] // '',
			    qr/not limited to failover-provision/,
			    "$name: but is said");
		}
		stop_host($other);
	}
}
refused(undef, work({ op => 'provision' }), qr/is no host|lacks/, qr//,
    'a job without anything');
refused(undef, work(job($host, host => '-oProxyCommand=x')), qr/is no host/,
    qr//, 'a host name that is an option');

# --- Findings -------------------------------------------------------------

sub check_job { return job($host, @check, @_) }

{
	my $busy = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
	    LocalPort => $host->{pg_port}, Listen => 1) or die;
	make_path("$host->{root}/pg/main/base");
	my $before = tree_of($host);
	my $result = work(check_job(conf => { nonsense => 'x',
	    state_dir => '/usr/share/failoverd-state' },
	    facts => { pg_major => 99, data_bytes => 10 ** 17 }));

	is($result->{status}, 1, 'an unfit host');
	for my $want (
		[qr/unknown key "nonsense"/, 'unknown key'],
		[qr/"\/usr\/share\/failoverd-state": this user cannot write/,
		    'state_dir'],
		[qr/PostgreSQL 99 is not installed|the cluster runs 99/,
		    'version'],
		[qr{pg/main" is not empty}, 'data directory'],
		[qr/MB free, and the copy needs/, 'space'],
		[qr/port $host->{pg_port} \(postgresql.advertise\) is in use/,
		    'port'],
	) {
		has_fail($result, $want->[0],
		    "every finding in one go: $want->[1]");
	}
	like(last_of($result, 'error')->{text}, qr/6 findings/, 'counted');
	ok(!(grep { $_->{level} eq 'fail' && ($_->{text} =~ /\n/) }
	    of_type($result, 'finding')), 'one line each');
	is_deeply(tree_of($host), $before, 'nothing changed on the host');
	remove_tree("$host->{root}/pg/main");
}
has_fail(work(check_job(conf => { state_dir => "$host->{root}/pg/main/s" })),
    qr/inside data_dir/, 'state_dir inside data_dir');
has_fail(work(check_job(conf => { run_dir => "$host->{root}/pg/main/r" })),
    qr/inside data_dir/, 'run_dir inside data_dir');
has_fail(work(check_job(conf => {
    'postgresql.data_dir' => '/usr/share/nodata/main' })),
    qr/cannot write to "\/usr\/share"/, 'parent directory not writable');
has_fail(work(check_job(conf => { listen => '192.0.2.77:7432' })),
    qr/is no address of this host/, 'listen on an address of another host');
{
	my $data = "$host->{root}/pg/main";
	my $replace = { replace => JSON::PP::true };

	make_path("$data/lost+found", "$data/.cache");
	done_ok(work(check_job()), 'lost+found and dotfiles count as empty');
	spew("$data/notes.txt", 'mine');
	has_fail(work(check_job(facts => $replace)),
	    qr/is no data directory of PostgreSQL/,
	    'replace does not take any directory');
	spew("$data/PG_VERSION", "$pg_major\n");
	has_fail(work(check_job()), qr/is not empty/,
	    'a data directory without replace');
	{
		my $result = work(check_job(facts => $replace));
		done_ok($result, 'a data directory with replace');
		like(join("\n", findings($result, 'warn')),
		    qr/will be replaced/, 'with a warning');
	}
	spew("$data/postmaster.pid", "$$\n$data\n");
	has_fail(work(check_job(facts => $replace)),
	    qr/a running server \(pid $$\) uses/,
	    'replace of a running server');
	spew("$data/postmaster.pid", "4194304\n$data\n");
	done_ok(work(check_job(facts => $replace)),
	    'replace after a crash');
	remove_tree($data);
}
{
	my $file = "$host->{root}/etc/failoverd.conf";
	my $own = qq(cluster = "CLUSTER"; node = "NODE"; ) .
	    qq(listen = "127.0.0.1:$host->{agent_port}"; ) .
	    qq(advertise = "127.0.0.1:$host->{agent_port}"; ) .
	    qq(state_dir = "$host->{root}/state"; ) .
	    qq(run_dir = "$host->{root}/run/fo"; postgresql: { ) .
	    qq(advertise = "127.0.0.1:$host->{pg_port}"; ) .
	    qq(data_dir = "$host->{root}/pg/main"; };\n);
	my $with = sub {
		my ($cluster, $node) = @_;
		spew($file, $own =~ s/CLUSTER/$cluster/r =~ s/NODE/$node/r);
	};

	$with->('other', 'n2');
	has_fail(work(check_job()), qr/is of node "n2" of cluster "other"/,
	    'failoverd.conf of another cluster');
	$with->('sales', 'n3');
	has_fail(work(check_job()), qr/is of node "n3" of cluster "sales"/,
	    'failoverd.conf of another node');
	spew($file, "cluster = ;\n");
	has_fail(work(check_job()), qr/failoverd\.conf:1/,
	    'failoverd.conf that cannot be read');
	$with->('sales', 'n2');
	done_ok(work(check_job()), 'failoverd.conf of this node');
	has_fail(work(check_job(conf => { http => '127.0.0.1:1234' })),
	    qr/has another "http"/, 'which says something else');
	my $before = tree_of($host);
	done_ok(work(job($host)), 'provision with the operator\'s own file');
	is(slurp($file), $before->{$file} =~ s/^file \d+ //r,
	    'it is left as it is');
	done_ok(work(job($host, op => 'undo')), 'undo');
	is_deeply(tree_of($host), $before, 'undo leaves the operator\'s file');
	unlink $file;

	spew("$host->{root}/state/tls/ca.crt", slurp("$dir/other_ca/ca.crt"));
	has_fail(work(check_job()), qr/certificates of another cluster/,
	    'certificates of another cluster');
	remove_tree("$host->{root}/state");
}

# --- All the way ----------------------------------------------------------

my $state = "$host->{root}/state";
my $before = tree_of($host);
my ($first_csr, $pid);
{
	my $result = work(job($host));
	done_ok($result, 'provision');
	my $sign = last_of($result, 'sign');
	$first_csr = $sign->{csr};
	is_deeply([@$sign{qw(node advertise pg_advertise data_dir
	    known_host_line)}], ['n2', "127.0.0.1:$host->{agent_port}",
	    "127.0.0.1:$host->{pg_port}", "$host->{root}/pg/main",
	    name_of($host) . ' ' . public("$dir/host_ed25519")],
	    'sign: what the agent needs to commit');
	unlike($result->{raw}, qr/PRIVATE KEY/, 'no key in what was said');
	my ($said) = grep { defined } map { ($_->{text} // '') =~
	    /agent started, pid (\d+)/ } @{$result->{said}};
	$pid = $said;
	ok(defined $pid && kill(0, $pid), 'the agent runs');
	for my $name (qw(ca.crt node.crt node.key)) {
		is(sprintf('%o', (stat "$state/tls/$name")[2] & 0777), '600',
		    "$name is for its owner alone");
	}
	is(sprintf('%o', (stat "$host->{root}/run/fo")[2] & 0777), '755',
	    'the run directory can be reached');
	is(sprintf('%o', (stat $state)[2] & 0777), '700',
	    'the state directory cannot');
	is(slurp("$state/tls/ca.crt"), slurp("$dir/ca/ca.crt"), 'the CA');
	my $conf = slurp("$host->{root}/etc/failoverd.conf");
	like($conf, qr/peers = \[ "127\.0\.0\.1:7001", "127\.0\.0\.1:7002" \]/,
	    'configuration: peers');
	like($conf, qr/node = "n2"/, 'configuration: name');
	ok(!-e "$host->{root}/pg/main", 'the data directory is not touched');
	like(slurp("/proc/$pid/environ"), qr/FAILOVERD_CONFIG/,
	    'environment of the agent');
	unlike(slurp("/proc/$pid/environ"), qr/SSH_/,
	    'nothing of the SSH session in it');
	isnt(session_of($pid), session_of($sshds{$host->{root}}),
	    'in a session of its own');
}
{
	my $result = work(job($host));
	done_ok($result, 'the same job once more');
	is(last_of($result, 'sign')->{csr}, $first_csr,
	    'asks for the same key again');
	ok(kill(0, $pid), 'the agent was left running');
	like($result->{raw}, qr/agent started, pid $pid\b/, 'and is named');
	has_fail(work(job($host, job => '13')),
	    qr/this host is node "n2" .* already \(job 12\)/,
	    'another job while it runs');
	my $error = last_of(work(job($host, op => 'undo', job => '13')),
	    'error');
	ok(($error->{text} // '') =~ /of job 12 .* not of job 13/ &&
	    $error->{changed} && -e "$state/tls/node.key" && kill(0, $pid),
	    'undo of another job removes nothing') or
	    diag($json->encode($error));
}
done_ok(work(job($host, op => 'undo')), 'undo');
is_deeply(tree_of($host), $before, 'the host is as it was before');
ok(wait_until(sub { !kill 0, $pid }), 'the agent has ended');
{
	my $result = work(job($host, op => 'undo'));
	done_ok($result, 'undo twice');
	like(last_of($result, 'done')->{text}, qr/nothing to undo/,
	    'says that there was nothing');
}

# --- What stops it on the way ---------------------------------------------

$host->{before} = $before;
refused($host, work(job($host), sign => sub { { type => 'refused',
    text => 'n2 is a member already', hint => 'Run remove.' } }),
    qr/^n2 is a member already$/, qr/^Run remove\.$/, 'the agent refuses');
refused($host, work(job($host), sign => sub { certificate($_[0],
    "$dir/other_ca") }), qr/certificate for node "n2" cannot be used/, qr//,
    'a certificate of another CA');
refused($host, work(job($host), sign => sub { 
    { type => 'certificate', cert => 'hello' } }), qr/cannot be used/, qr//,
    'no certificate at all');
spew("$dir/refuse-start", '');
refused($host, work(job($host)), in_order('the agent did not start:',
    'the disk is made of cheese'), qr/failoverd -c/,
    'an agent that ends at once');
unlink "$dir/refuse-start";

# A cut connection: the worker is killed in the middle.
{
	my $csr;
	my $result = work(job($host), sign => sub { $csr = $_[0]{csr};
	    'kill' });
	is($result->{signal}, 9, 'the worker is killed while it waits');
	ok(-e "$state/tls/node.key", 'its host has the key already');
	$result = work(job($host));
	done_ok($result, 'the same job goes on');
	like(join("\n", findings($result, 'pass')),
	    qr/job 12 continues where it was cut/, 'and says so');
	is(last_of($result, 'sign')->{csr}, $csr, 'with the same key');
	done_ok(work(job($host, op => 'undo')), 'undo');
	is_deeply(tree_of($host), $before, 'nothing is left');
}
for my $word ('key made', 'configuration and certificate', 'agent started') {
	my $result = work(job($host), progress => sub {
	    $_[0]{text} =~ /$word/ ? 'kill' : undef });
	is($result->{signal}, 9, "killed after \"$word\"");
	$result = work(job($host, op => 'undo'));
	done_ok($result, "undo after \"$word\"");
	# The other half may have been at its last step when it was cut.
	is_deeply(tree_of($host), $before, "nothing is left after \"$word\"");
}
{
	my $result = work(job($host), sign => sub { 'kill' });
	$result = work(job($host, job => '14'));
	done_ok($result, 'a new job after one that was lost');
	like(join("\n", findings($result, 'warn')),
	    qr/what job 12 has left here .* will be removed first/,
	    'says what it found');
	done_ok(work(job($host, job => '14', op => 'undo')), 'undo');
	is_deeply(tree_of($host), $before, 'nothing is left of either');
}

# Directories that were there before stay, with what others keep in them.
{
	spew("$state/notes.txt", 'mine');
	chmod 0700, $state;
	my $mine = tree_of($host);
	done_ok(work(job($host)), 'provision into an existing directory');
	spew("$host->{root}/run/fo/stranger", 'x');
	my $result = work(job($host, op => 'undo'));
	like(last_of($result, 'done')->{text}, qr/hold other files stay/,
	    'undo names what had to stay');
	ok(-e "$host->{root}/run/fo/stranger", 'a stranger\'s file stays');
	like($result->{raw}, qr{run/fo\\" is not empty and stays},
	    'and is named');
	remove_tree("$host->{root}/run/fo");
	is_deeply(tree_of($host), $mine, 'and all else is as before');
	remove_tree($state);
}

# A copy that has begun in the data directory is the agent's to remove.
{
	done_ok(work(job($host)), 'provision');
	spew("$host->{root}/pg/main/PG_VERSION", "$pg_major\n");
	my $result = work(job($host, op => 'undo'));
	like($result->{raw}, qr{pg/main\\" is not empty and stays},
	    'undo names a data directory that is no longer empty');
	ok(-e "$host->{root}/pg/main/PG_VERSION", 'and never touches it');
	remove_tree("$host->{root}/pg/main");
	is_deeply(tree_of($host), $before, 'nothing else is left');
}

# A process that is not failoverd with our file is never ended.
{
	done_ok(work(job($host)), 'provision');
	my $marker = "$state/markers/provision";
	my $text = slurp($marker);
	spew($marker, $text =~
	    s{"conf_file": "[^"]*"}{"conf_file": "$dir/else.conf"}r);
	my $error = last_of(work(job($host, op => 'undo')), 'error');
	ok(($error->{text} // '') =~ /it is not failoverd with .*else\.conf/ &&
	    $error->{changed}, 'undo leaves another process alone') or
	    diag($json->encode($error));
	spew($marker, $text);
	done_ok(work(job($host, op => 'undo')), 'undo');
	is_deeply(tree_of($host), $before, 'nothing is left');
}

# A witness: no PostgreSQL, nothing of it is asked for.
{
	my $result = work(job($host, conf => { node => 'w1',
	    'postgresql.data_dir' => undef, 'postgresql.advertise' => undef },
	    facts => { pg_major => 0, data_bytes => 0 }));
	done_ok($result, 'a witness');
	unlike($result->{raw}, qr/MB free|PostgreSQL \d/, 'without PostgreSQL');
	unlike(slurp("$host->{root}/etc/failoverd.conf"), qr/postgresql/,
	    'and none in its configuration');
	done_ok(work(job($host, op => 'undo', conf => { node => 'w1',
	    'postgresql.data_dir' => undef, 'postgresql.advertise' => undef },
	    facts => { pg_major => 0 })), 'undo');
	is_deeply(tree_of($host), $before, 'nothing is left');
}
stop_host($host);

# The real agent: it accepts before it has met anybody, and ends when asked.
{
	my $real = new_host(authorized => default_line() =~
	    s{\Q$bin\E/}{$dir/real/}r);
	my @job = ($real, conf => { http => '' });

	know($real, name_of($real) . ' ' . public("$dir/host_ed25519"));
	my $untouched = tree_of($real);
	my $result = work(job(@job));
	done_ok($result, 'provision with the real agent');
	my ($agent) = $result->{raw} =~ /agent started, pid (\d+)/;
	is(readlink "/proc/$agent/exe", "$dir/real/failoverd", 'it runs');
	$result = work(job(@job));
	like($result->{raw}, qr/agent started, pid $agent\b/,
	    'the job once more leaves it running');
	done_ok(work(job(@job, op => 'undo')), 'undo');
	ok(wait_until(sub { !kill 0, $agent }), 'it has ended');
	is_deeply(tree_of($real), $untouched, 'and left nothing');
	stop_host($real);
}
done_testing();
