#!/usr/bin/perl
#
# 012_failoverctl_usage.t - the operator's command against a fake agent.
#
# The fake agent is a small socket server that notes each request and gives
# a canned answer, so that every exit status, every way of not answering and
# the exact bytes of a request are seen without a cluster.

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use FindBin;
use IO::Socket::UNIX;
use JSON::PP;
use POSIX qw(:sys_wait_h setsid setuid setgid _exit);
use Socket qw(SOCK_STREAM);
use Test::More;
use Time::HiRes qw(time sleep);

my $build = $ENV{FAILOVERD_BUILD} || abs_path("$FindBin::Bin/../..");
my $program = "$build/failoverctl";
my $dir = tempdir('failoverctl.XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $socket = "$dir/control.sock";
my $requests = "$dir/requests";
my $owner = $$;
my ($uid, $gid) = $> == 0 ? (getpwnam 'nobody')[2, 3] : ($>, $) + 0);
my %agents;

# What the fake failoverd reads may not be writable for root alone.
chmod 0755, $dir;
delete @ENV{qw(COLUMNS FAILOVERD_CONFIG NO_COLOR)};
@ENV{qw(LC_ALL TERM TZ)} = qw(C xterm UTC);

# --- The fake agent -------------------------------------------------------

# Starts one that answers each request with $handler->($connection, $request).
sub agent
{
	my ($handler, $path) = @_;
	$path //= $socket;
	unlink $path, $requests;
	my $listener = IO::Socket::UNIX->new(Type => SOCK_STREAM,
	    Local => $path, Listen => 5) or die "listen $path: $!";
	chmod 0777, $path;
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		serve($listener, $handler);
		_exit(0);
	}
	$agents{$pid} = 1;
	return $pid;
}

sub serve
{
	my ($listener, $handler) = @_;
	while (my $connection = $listener->accept) {
		my $line = <$connection> // next;
		open my $log, '>>', $requests or die "$requests: $!";
		print $log $line;
		close $log;
		local $SIG{PIPE} = 'IGNORE';
		$handler->($connection, decode_json($line));
		close $connection;
	}
}

sub stop_agents
{
	for my $pid (keys %agents) {
		kill 'KILL', $pid;
		waitpid $pid, 0;
	}
	%agents = ();
}

END { stop_agents() if $$ == $owner }

sub say_to
{
	my ($connection, $object) = @_;
	print $connection encode_json($object), "\n";
	$connection->flush;
}

# A handler that gives one result.
sub result
{
	my ($exit, $text, %more) = @_;
	return sub {
		say_to($_[0], { type => 'result', exit => $exit,
		    text => $text, %more });
	};
}

# The requests that arrived since the agent was started.
sub requests
{
	open my $log, '<', $requests or return ();
	my @requests = map { decode_json($_) } <$log>;
	return @requests;
}

# Never answers, but notices when the other side is gone.
sub silent
{
	my ($connection) = @_;
	1 while sysread $connection, my $byte, 1;
}

# --- Running failoverctl --------------------------------------------------

sub slurp
{
	open my $file, '<', $_[0] or return '';
	local $/;
	return scalar(<$file>) // '';
}

sub become_user
{
	$) = "$gid $gid";
	setgid($gid);
	setuid($uid);
}

# Starts it; ctl_wait() ends it.
sub ctl_start
{
	my ($how, @args) = @_;
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$dir/out";
		open STDERR, '>', "$dir/err";
		become_user() if $how->{user};
		chdir $dir;
		exec { $how->{program} // $program } 'failoverctl', @args
		    or _exit(126);
	}
	return $pid;
}

sub ctl_wait
{
	my ($pid) = @_;
	my $deadline = time + 30;
	my $rc;
	while (($rc = waitpid $pid, WNOHANG) == 0) {
		if (time > $deadline) {
			kill 'KILL', $pid;
			waitpid $pid, 0;
			die 'failoverctl did not end';
		}
		sleep 0.01;
	}
	return { exit => $? >> 8, signal => $? & 127,
	    out => slurp("$dir/out"), err => slurp("$dir/err") };
}

sub ctl_as { my ($how, @args) = @_; return ctl_wait(ctl_start($how, @args)) }
sub ctl { return ctl_as({}, @_) }
sub here { return ctl('-S', $socket, @_) }

# Waits until a condition holds; timing never decides a test.
sub eventually
{
	my ($condition, $name) = @_;
	my $deadline = time + 20;
	while (time < $deadline) {
		return pass($name) if $condition->();
		sleep 0.02;
	}
	return fail($name);
}

sub lines { return scalar(() = $_[0] =~ /\n/g) }

sub widest
{
	my $max = 0;
	length > $max and $max = length for split /\n/, $_[0];
	return $max;
}

# --- A terminal -----------------------------------------------------------

# failoverctl on a terminal of its own: (pid, master side).
sub ctl_terminal
{
	my (@args) = @_;
	my ($number, $unlock) = ('', pack 'i', 0);
	open my $master, '+<', '/dev/ptmx' or die "/dev/ptmx: $!";
	ioctl $master, 0x40045431, $unlock or die "TIOCSPTLCK: $!";
	$number = pack 'i', 0;
	ioctl $master, 0x80045430, $number or die "TIOCGPTN: $!";
	my $slave = '/dev/pts/' . unpack 'i', $number;
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		setsid();
		open STDIN, '+<', $slave or _exit(125);
		open STDOUT, '>&', \*STDIN;
		open STDERR, '>&', \*STDIN;
		close $master;
		exec { $program } 'failoverctl', @args or _exit(126);
	}
	return ($pid, $master);
}

# Reads from a terminal until the pattern was seen or it is closed.
sub read_until
{
	my ($master, $pattern, $seen) = @_;
	my $deadline = time + 20;
	while ($$seen !~ $pattern && time < $deadline) {
		my $ready = '';
		vec($ready, fileno $master, 1) = 1;
		next unless select $ready, undef, undef, 0.1;
		my $n = sysread $master, $$seen, 4096, length $$seen;
		last unless $n;
	}
	return $$seen =~ $pattern;
}

sub terminal_end
{
	my ($pid, $master, $seen) = @_;
	read_until($master, qr/\0never\0/, $seen);
	waitpid $pid, 0;
	return $? & 127 ? 128 + ($? & 127) : $? >> 8;
}

# --- Usage ----------------------------------------------------------------

my @commands = qw(init clone-standby status promote switchover failover
    explain events jobs pause resume remove version help);

sub test_usage
{
	my $r = ctl();
	is($r->{exit}, 64, 'no command: usage');
	is($r->{out}, '', 'the list is on stderr then');
	$r = ctl('help');
	is($r->{exit}, 0, 'help');
	is_deeply([$r->{out} =~ /^  ([a-z][a-z-]*)  /mg], \@commands,
	    'exactly the commands there are');
	cmp_ok(widest($r->{out}), '<=', 80, 'the list fits 80 columns');
	for my $command (@commands) {
		$r = ctl($command, '--help');
		is($r->{exit}, 0, "$command --help");
		like($r->{out}, qr/^Usage: failoverctl \Q$command\E\b/m,
		    'shows how to use it');
		cmp_ok(widest($r->{out}), '<=', 80, 'fits 80 columns');
	}
	for my $case (['statsu', qr/Did you mean "failoverctl status"/],
	    ['frobnicate', qr/Run "failoverctl help"/],
	    ['add-witness', qr/HINT/]) {
		$r = ctl($case->[0]);
		is($r->{exit}, 64, "unknown command $case->[0]");
		like($r->{err}, $case->[1], 'with a hint');
		is(lines($r->{err}), 2, 'two lines');
	}
	for my $args (['status', '--bogus'], ['status', 'extra'], ['remove'],
	    ['status', '--dry-run'], ['promote', 'N2'], ['events', '--after',
	    'x'], ['status', '--timeout', '0'], ['status', '--format', 'xml'],
	    ['clone-standby', '10.0.0.12'], ['clone-standby', '::1', '--name',
	    'n2'], ['clone-standby', 'n2', '--conf', 'node=x'],
	    ['clone-standby', 'n2', '--conf', 'colour=red'],
	    ['clone-standby', 'n2', '--accept-host-key', 'MD5:1'],
	    ['switchover', '--accept-data-loss'], ['promote', 'n1', 'n2']) {
		$r = ctl('-S', "$dir/none", @$args);
		is($r->{exit}, 64, "@$args");
		like($r->{err}, qr/^failoverctl: .*\n(HINT: .*\n)?\z/,
		    'one line and perhaps a hint');
	}
	$r = ctl('--format', 'json', 'frobnicate');
	is(decode_json($r->{out})->{exit}, 64, 'usage errors as JSON');
}

sub test_no_agent
{
	my $r = ctl('-S', "$dir/none", 'status');
	is($r->{exit}, 5, 'no agent');
	is($r->{out}, '', 'nothing on stdout');
	like($r->{err},
	    qr/\Afailoverctl: no agent .*"\Q$dir\E\/none"\nHINT: .*\n\z/,
	    'one line that names the socket, and what to do');
	$r = ctl('-S', "$dir/none", 'switchover', '--yes');
	is($r->{exit}, 5, 'no agent, and nothing was begun');
	$r = ctl('-S', "$dir/none", '--format', 'json', 'status');
	is($r->{exit}, 5, 'no agent, JSON');
	my $json = decode_json($r->{out});
	is($json->{exit}, 5, 'the exit status is in it');
	is($json->{health}, 'unknown', 'and a health for monitors');
	is(lines($r->{out}), 1, 'one object');
	$r = ctl('-S', '/' . 'x' x 200, 'status');
	is($r->{exit}, 5, 'a socket path that is too long');
	$r = ctl('-S', "$dir/none", 'version');
	is($r->{exit}, 0, 'version needs no agent');
	like($r->{out}, qr/\Afailoverctl [0-9.]+\n\z/, 'one line');
}

sub test_configuration
{
	my $file = "$dir/bad.conf";
	open my $out, '>', $file or die;
	print $out "cluster = \"sales\";\ncolour = \"red\";\n";
	close $out;
	my $r = ctl('-c', $file, 'status');
	is($r->{exit}, 78, 'an unknown key');
	like($r->{err}, qr/\Q$file\E:2.*colour/, 'file, line, key');
	$r = ctl('-c', "$dir/missing.conf", 'status');
	is($r->{exit}, 78, 'no configuration file');
	{
		local $ENV{FAILOVERD_CONFIG} = $file;
		is(ctl('status')->{exit}, 78, '$FAILOVERD_CONFIG');
	}
	chmod 0, $file;
	$r = ctl_as({ user => 1 }, '-c', $file, 'status');
	is($r->{exit}, 77, 'a file that we may not read');
	like($r->{err}, qr/HINT: .*sudo -u postgres/, 'says who may');

	$file = "$dir/good.conf";
	open $out, '>', $file or die;
	print $out qq(cluster = "sales";\nnode = "n1";\n),
	    qq(advertise = "127.0.0.1:7432";\nrun_dir = "$dir";\n);
	close $out;
	agent(result(0, 'paused'));
	$r = ctl('pause', '-c', $file);
	is($r->{exit}, 0, 'the socket is found through run_dir')
	    or diag $r->{err};
	is($r->{out}, "paused\n", 'the text is on stdout');
	is((requests())[0]{v}, 1, 'the version of the protocol');
	stop_agents();
}

# --- Answers --------------------------------------------------------------

my $status = { cluster => 'sales', generation => 1, health => 'degraded',
    epoch => 4, coordinator => 'n2', primary => 'n1', durability =>
    'preferred', sync_since => undef, quorum => { voters => 3,
    reachable => 2, needed => 2 }, paused => JSON::PP::false,
    maintenance => undef, warnings => [{ text =>
    'n3 has not been heard for 12 s.', command => 'failoverctl explain n3' }],
    nodes => [map { { name => "n$_", host => 'database-server-' .
    "$_.frankfurt.example.org", port => 5432, role => $_ == 1 ? 'primary' :
    'standby', state => $_ == 1 ? 'running' : $_ == 2 ? 'streaming' :
    'unknown', timeline => 1, lsn => $_ == 3 ? undef : '16/B374D848',
    lag_bytes => $_ == 2 ? 0 : undef, lag_ms => $_ == 2 ? 0 : undef,
    sync => $_ == 2 ? 'quorum' : undef, age_ms => $_ == 3 ? 12345 : 90,
    reachable => $_ == 3 ? JSON::PP::false : JSON::PP::true } } 1 .. 3] };

sub test_status
{
	agent(result(1, 'degraded', data => $status));
	my $r = here('status');
	is($r->{exit}, 1, 'status: the exit status is the agent\'s');
	like($r->{out}, qr/\Asales: degraded\. Primary n1, coordinator n2/,
	    'the headline comes first');
	like($r->{out},
	    qr/^Node +Host +Role +State +TL +LSN +Lag +Sync +Seen$/m,
	    'the columns');
	like($r->{out}, qr/^n2 .* 0 B 0 ms +quorum +0\.1 s$/m,
	    'a lag of nothing');
	like($r->{out}, qr/^n3 .* unknown +1 +\? +\? +\? +12 s$/m,
	    'unknown is "?"');
	like($r->{out}, qr/^WARNING: n3 .* Run: failoverctl explain n3$/m,
	    'a warning with its command');
	cmp_ok(widest($r->{out}), '<=', 80, '80 columns');
	unlike($r->{out}, qr/\033/, 'no colours in a file');
	{
		local $ENV{COLUMNS} = 140;
		like(here('status')->{out}, qr/database-server-1\.frankfurt\.
		    example\.org/x, 'more columns, whole names');
	}
	$r = here('status', '--format', 'json');
	is($r->{exit}, 1, 'JSON: the same exit status');
	is_deeply(decode_json($r->{out}), $status, 'JSON: the data itself');
	is(lines($r->{out}), 1, 'JSON: one object');
	is($r->{err}, '', 'JSON: nothing on stderr');
	is((requests())[0]{cmd}, 'status', 'asks for the status');
	stop_agents();

	for my $exit (0, 2) {
		agent(result($exit, '', data => $status));
		is(here('status')->{exit}, $exit, "status: exit $exit");
		stop_agents();
	}
	agent(result(5, 'no majority is reachable from n2.',
	    data => { %$status, stale => JSON::PP::true }));
	$r = here('status');
	is($r->{exit}, 5, 'stale: cannot tell');
	like($r->{out}, qr/^STALE: no majority is reachable from n2\.$/m,
	    'stale: says so, and shows what is known');
	like($r->{out}, qr/^n2 /m, 'with the table');
	stop_agents();
	agent(result(5, 'no coordinator answers', hint => 'Wait.'));
	$r = here('status');
	is($r->{exit}, 5, 'no data at all');
	is($r->{err}, "failoverctl: no coordinator answers\nHINT: Wait.\n",
	    'the reason and the hint');
	stop_agents();
}

sub test_results
{
	agent(sub {
		my ($c) = @_;
		say_to($c, { type => 'progress', text => "n2: copied $_ %" })
		    for 10, 20;
		say_to($c, { type => 'novelty', text => 'from the future' });
		say_to($c, { type => 'result', exit => 0, text => 'n2 streams',
		    hint => 'Add a third.', data => { job => 12 } });
	});
	my $r = here('clone-standby', 'n2.example.org');
	is($r->{exit}, 0, 'done');
	is($r->{out}, "n2 streams\nHINT: Add a third.\n", 'text on stdout');
	is($r->{err}, "n2: copied 10 %\nn2: copied 20 %\n",
	    'progress on stderr, unknown lines are left out');
	$r = here('clone-standby', 'n2.example.org', '--format=json');
	is_deeply(decode_json($r->{out}), { exit => 0, text => 'n2 streams',
	    hint => 'Add a third.', data => { job => 12 } },
	    'JSON: exit, text, hint, data');
	stop_agents();

	agent(result(3, "n2 is 5 MB\n\033[2Jbehind", hint =>
	    'Run "failoverctl explain n2".', data => { trace =>
	    ['rule 2: n2 0/5 < n3 0/9'] }));
	$r = here('switchover', 'n2', '--yes');
	is($r->{exit}, 3, 'refused');
	is($r->{err}, qq(failoverctl: n2 is 5 MB  [2Jbehind\n) .
	    "  rule 2: n2 0/5 < n3 0/9\n" .
	    qq(HINT: Run "failoverctl explain n2".\n),
	    'reason, trace, hint; no control characters');
	is($r->{out}, '', 'nothing on stdout');
	stop_agents();

	for my $exit (4, 64, 77, 78) {
		agent(result($exit, 'because'));
		$r = here('resume');
		is($r->{exit}, $exit, "the agent says $exit");
		is($r->{err}, "failoverctl: because\n", 'and why');
		stop_agents();
	}
}

sub test_not_permitted
{
	agent(sub {});
	chmod 0, $socket;
	my $r = ctl_as({ user => 1 }, '-S', $socket, 'status');
	is($r->{exit}, 77, 'a socket that we may not use');
	like($r->{err}, qr/\Afailoverctl: not permitted .*\nHINT: .*\n\z/,
	    'and who may');
	stop_agents();
	# Refused before it reads the request, as agents do.
	unlink $socket, $requests;
	my $listener = IO::Socket::UNIX->new(Type => SOCK_STREAM,
	    Local => $socket, Listen => 5) or die;
	my $pid = fork // die;
	if ($pid == 0) {
		my $c = $listener->accept;
		say_to($c, { type => 'result', exit => 77,
		    text => 'user "mallory" is not permitted' });
		close $c;
		_exit(0);
	}
	close $listener;
	$agents{$pid} = 1;
	$r = here('switchover', '--yes');
	is($r->{exit}, 77, 'refused by peer credentials');
	like($r->{err}, qr/mallory/, 'in the agent\'s words');
	stop_agents();
}

# Without a result a change is never called failed, only unknown.
sub test_no_result
{
	my %ways = (
	    'is cut' => sub { },
	    'is not JSON' => sub { my ($c) = @_; print $c "hello\n" },
	    'has no type' => sub { say_to($_[0], { text => 'x' }) },
	    'has a strange exit' => result(99, 'x'),
	    'is too long' => sub { my ($c) = @_; print $c 'x' x 300000 },
	);
	for my $way (sort keys %ways) {
		agent($ways{$way});
		my $r = here('status');
		is($r->{exit}, 5, "an answer that $way: cannot tell");
		is(lines($r->{err}), 1, 'one line');
		$r = here('failover', '--yes');
		is($r->{exit}, 4, 'of a change: outcome unknown');
		like($r->{err}, qr/unknown.*\nHINT: .*failoverctl jobs/,
		    'where to look');
		stop_agents();
	}
	agent(\&silent);
	my $r = here('status', '--timeout', '1');
	is($r->{exit}, 5, 'timeout: cannot tell');
	like($r->{err}, qr/within 1 s/, 'says how long it waited');
	$r = here('--timeout=1', 'switchover', '--yes');
	is($r->{exit}, 4, 'timeout of a change: outcome unknown');
	$r = here('promote', '--dry-run', '--timeout', '1');
	is($r->{exit}, 5, 'timeout of a dry run: nothing was begun');
	stop_agents();
}

sub test_interrupted
{
	agent(\&silent);
	for my $case (['switchover --yes', 4, 0], ['status', 0, 2],
	    ['promote --dry-run', 0, 2]) {
		my ($words, $exit, $signal) = @$case;
		unlink $requests;
		my $pid = ctl_start({}, '-S', $socket, split / /, $words);
		eventually(sub { my @sent = requests() }, "$words: asked");
		kill 'INT', $pid;
		my $r = ctl_wait($pid);
		is($r->{exit}, $exit, "$words, ^C: exit $exit");
		is($r->{signal}, $signal, "signal $signal");
		like($r->{err}, qr/interrupted.*unknown.*\nHINT: .*jobs/,
		    'says that the agent may go on') if $exit;
	}
	stop_agents();
}

# --- Requests -------------------------------------------------------------

sub sent
{
	my (@args) = @_;
	unlink $requests;
	my $r = here(@args);
	is($r->{exit}, 0, "@args") or diag $r->{err};
	return (requests())[-1];
}

sub test_requests
{
	my ($no, $yes) = (JSON::PP::false, JSON::PP::true);

	agent(result(0, 'ok', data => {}));
	is_deeply(sent('promote', 'n2', '--yes'), { v => 1, cmd => 'promote',
	    args => { node => 'n2', dry_run => $no, accept_data_loss => $no,
	    wait => $yes } }, 'promote');
	is_deeply(sent('failover', '--accept-data-loss', '--yes',
	    '--no-wait')->{args}, { dry_run => $no,
	    accept_data_loss => $yes, wait => $no }, 'failover');
	is_deeply(sent('--dry-run', 'switchover', 'n3')->{args},
	    { node => 'n3', dry_run => $yes, wait => $yes },
	    'switchover --dry-run asks nothing');
	is_deeply(sent('remove', 'n3', '--yes'), { v => 1, cmd => 'remove',
	    args => { node => 'n3' } }, 'remove');
	is_deeply(sent('explain', 'n2')->{args}, { node => 'n2' }, 'explain');
	is_deeply(sent('events', '--after', 7)->{args}, { after => 7 },
	    'events');
	for my $cmd (qw(jobs pause resume)) {
		is_deeply(sent($cmd), { v => 1, cmd => $cmd, args => {} },
		    $cmd);
	}
	is_deeply(sent('clone-standby', 'n2.example.org')->{args}, {
	    host => 'n2.example.org', port => 22, user => 'postgres',
	    name => 'n2', conf => {}, replace => $no, dry_run => $no,
	    wait => $yes }, 'clone-standby: defaults');
	is_deeply(sent('clone-standby', 'pg@[::1]:2222', '--name', 'n3',
	    '--data-dir', '/data', '--advertise', '[::1]',
	    '--pg-advertise=10.0.0.3:5433', '--conf', 'log_level=debug',
	    '--conf', 'http=', '--accept-host-key', 'SHA256:abc',
	    '--replace', '--no-wait')->{args}, { host => '::1',
	    port => 2222, user => 'pg', name => 'n3', accept_host_key =>
	    'SHA256:abc', replace => $yes, dry_run => $no, wait => $no,
	    conf => { 'postgresql.data_dir' => '/data', advertise =>
	    '[::1]:7432', 'postgresql.advertise' => '10.0.0.3:5433',
	    log_level => 'debug', http => '' } }, 'clone-standby: all');
	stop_agents();
}

sub test_shown
{
	agent(sub {
		my ($c, $request) = @_;
		my %data = (explain => { trace => ['n2: streaming',
		    'rule 2: n2'], last => { what => 'epoch 4: n1',
		    trace => ['n1 was the only one'] } },
		    events => { events => [{ id => 1, time =>
		    '2026-01-02 03:04:05', text => 'epoch 4: n1 is primary' },
		    { id => 2, time => 1767323046, text => 'paused' }] },
		    jobs => { jobs => [{ id => 3, kind => 'clone', node =>
		    'n2', step => 'copy', state => 'running', text =>
		    '22 %' }] });
		say_to($c, { type => 'result', exit => 0, text => '',
		    data => $data{$request->{cmd}} });
	});
	is(here('explain')->{out}, "  n2: streaming\n  rule 2: n2\n\n" .
	    "Last decision: epoch 4: n1\n  n1 was the only one\n",
	    'explain');
	is(here('events')->{out}, "2026-01-02 03:04:05 epoch 4: n1 is " .
	    "primary\n2026-01-02 03:04:06 paused\n", 'events');
	like(here('jobs')->{out},
	    qr/^Job .*\n3 +clone +n2 +running +copy\n3: 22 %\n\z/, 'jobs');
	my $pid = ctl_start({}, '-S', $socket, 'events', '--follow');
	eventually(sub { (my @sent = requests()) >= 5 },
	    'events --follow asks again');
	kill 'INT', $pid;
	my $r = ctl_wait($pid);
	is($r->{exit}, 0, '^C ends it well');
	is(lines($r->{out}), 2, 'no event is shown twice');
	is(((requests())[-1])->{args}{after}, 2, 'asks for newer ones');
	stop_agents();
}

# --- Questions ------------------------------------------------------------

sub test_confirmation
{
	agent(sub {
		my ($c, $request) = @_;
		my $dry = $request->{args}{dry_run};
		say_to($c, { type => 'result', exit => 0,
		    text => $dry ? 'n2 would become primary' : 'n2 is primary'
		    });
	});
	for my $words (['switchover'], ['promote', 'n2'], ['failover'],
	    ['remove', 'n2']) {
		my $r = here(@$words);
		is($r->{exit}, 64, "@$words without terminal and --yes");
		like($r->{err}, qr/HINT: .*--yes/, 'names --yes');
	}
	is(scalar(my @none = requests()), 0, 'and the agent was not asked');

	my ($pid, $master) = ctl_terminal('-S', $socket, 'promote', 'n2');
	my $seen = '';
	ok(read_until($master, qr/\[y\/N\] /, \$seen), 'a question');
	like($seen, qr/n2 would become primary/, 'after what would be done');
	syswrite $master, "yes\n";
	is(terminal_end($pid, $master, \$seen), 0, 'yes');
	like($seen, qr/n2 is primary/, 'done');
	is_deeply([map { $_->{args}{dry_run} ? 1 : 0 } requests()], [1, 0],
	    'a dry run, then the order');

	for my $case (["n\n", 'no'], ["\n", 'just return'], ["\004", '^D'],
	    ["\003", '^C']) {
		unlink $requests;
		($pid, $master) = ctl_terminal('-S', $socket, 'switchover');
		$seen = '';
		read_until($master, qr/\[y\/N\] /, \$seen);
		syswrite $master, $case->[0];
		is(terminal_end($pid, $master, \$seen), 3,
		    "$case->[1]: refused");
		like($seen, qr/nothing was changed/, 'says so');
		is(scalar(my @sent = requests()), 1,
		    'only the dry run was sent');
	}
	stop_agents();

	agent(result(3, 'n2 is not a candidate'));
	($pid, $master) = ctl_terminal('-S', $socket, 'promote', 'n2');
	$seen = '';
	is(terminal_end($pid, $master, \$seen), 3, 'refused by the dry run');
	unlike($seen, qr/\[y\/N\]/, 'no question then');
	stop_agents();
}

sub test_watch
{
	agent(result(1, 'degraded', data => $status));
	my ($pid, $master) = ctl_terminal('-S', $socket, 'status', '--watch');
	my $seen = '';
	ok(read_until($master, qr/explain n3.*explain n3/s, \$seen),
	    'status --watch draws again');
	like($seen, qr/\033\[33m.*degraded/, 'in colour');
	kill 'INT', $pid;
	is(terminal_end($pid, $master, \$seen), 0, '^C ends it well');
	like($seen, qr/\033\[\?25h/, 'and the cursor is back');
	stop_agents();

	($pid, $master) = ctl_terminal('-S', $socket, 'status', '--watch');
	$seen = '';
	ok(read_until($master, qr/no agent is listening/, \$seen),
	    '--watch without an agent says so');
	agent(result(1, 'degraded', data => $status));
	ok(read_until($master, qr/explain n3/, \$seen), 'and goes on');
	stop_agents();
	ok(read_until($master, qr/What follows is \d+ s old.*explain n3/s,
	    \$seen), 'an old table is called old');
	kill 'TERM', $pid;
	is(terminal_end($pid, $master, \$seen), 0, 'SIGTERM ends it too');
	is(here('status', '--watch', '--format', 'json')->{exit}, 64,
	    '--watch has no JSON');
}

# --- init -----------------------------------------------------------------

# A failoverd that answers as its configuration directory's "answer" says.
my $fake = <<'END';
#!/usr/bin/perl
use strict; use warnings; use IO::Socket::UNIX;
my $base = $0; $base =~ s{/[^/]*$}{};
open my $in, '<', $ARGV[1] or die "failoverd: $ARGV[1]: $!\n";
my ($run) = join('', <$in>) =~ /run_dir = "([^"]*)"/ or die;
select undef, undef, undef, 0.02 while -e "$base/hold";
open my $how, '<', "$base/answer" or die "failoverd: no lease on life\n";
my $answer = <$how>;
my $listener = IO::Socket::UNIX->new(Local => "$run/control.sock",
    Listen => 5) or die "failoverd: $!\n";
$SIG{TERM} = sub { unlink "$run/control.sock"; exit 0 };
while (1) {
	my $c = $listener->accept or next;
	my $line = <$c> // next;
	open my $log, '>>', "$base/requests"; print $log $line; close $log;
	print $c $answer; close $c;
}
END

sub put
{
	my ($path, $text, $mode) = @_;
	open my $out, '>', $path or die "$path: $!";
	print $out $text;
	close $out or die;
	chmod $mode // 0644, $path;
}

sub is_running
{
	my ($run) = @_;
	return defined IO::Socket::UNIX->new(Peer => "$run/control.sock");
}

sub stop_fake
{
	my ($run) = @_;
	my $c = IO::Socket::UNIX->new(Peer => "$run/control.sock") or return;
	my ($pid) = unpack 'iii', getsockopt($c, 1, 17);	# SO_PEERCRED
	close $c;
	kill 'TERM', $pid;
	eventually(sub { !is_running($run) }, 'the fake agent is stopped');
}

sub test_init
{
	my $base = "$dir/init";
	my ($conf, $run) = ("$base/failoverd.conf", "$base/run");
	my $done = encode_json({ type => 'result', exit => 0, text =>
	    'cluster sales was created', data => { authorized_keys =>
	    'restrict,command="x" ssh-ed25519 AAAA failoverd:sales' } })
	    . "\n";
	my $refused = encode_json({ type => 'result', exit => 3, text =>
	    'data directory is not empty' }) . "\n";
	my @new = ('-c', $conf, 'init', '--cluster', 'sales', '--node', 'n1',
	    '--advertise', '127.0.0.1:7441', '--data-dir', "$base/data",
	    '--conf', "run_dir=$run", '--conf', "state_dir=$base/state");
	my $how = { user => 1, program => "$base/failoverctl" };
	my $r;

	mkdir $_ for $base, $run, "$base/state";
	copy($program, "$base/failoverctl") or die "copy: $!";
	chmod 0755, "$base/failoverctl";
	chown $uid, $gid, $base, $run, "$base/state";
	put("$base/failoverd", $fake, 0755);

	$r = ctl_as($how, @new);
	is($r->{exit}, 3, 'an agent that cannot start');
	like($r->{err}, qr/^failoverctl: .*no lease on life/m, 'says why');
	like($r->{err}, qr/^removed "\Q$conf\E" again$/m, 'and what is left');
	ok(!-e $conf, 'nothing half done');

	put("$base/answer", $refused);
	$r = ctl_as($how, @new);
	is($r->{exit}, 3, 'an agent that refuses');
	like($r->{err}, qr/^failoverctl: data directory is not empty$/m,
	    'in its words');
	like($r->{err}, qr/^stopped the agent again/m, 'and it is stopped');
	ok(!-e $conf, 'the file is removed');
	ok(!is_running($run), 'nobody listens');

	put("$base/answer", $done);
	$r = ctl_as($how, @new, '--dry-run');
	is($r->{exit}, 0, 'init --dry-run') or diag $r->{err};
	ok(!-e $conf && !is_running($run), 'leaves nothing behind');
	unlike($r->{out}, qr/authorized_keys/, 'and promises nothing');

	unlink "$base/requests";
	put("$base/hold", '');
	my $pid = ctl_start($how, @new);
	eventually(sub { -e $conf }, 'init waits for the agent');
	kill 'INT', $pid;
	unlink "$base/hold";
	$r = ctl_wait($pid);
	is($r->{signal}, 2, 'init, ^C');
	ok(!-e $conf && !is_running($run), 'leaves nothing behind');
	ok(!-e "$base/requests", 'and has asked for nothing');

	$r = ctl_as($how, @new, '--set', 'lease=3s', '--set', 'detect=1s');
	is($r->{exit}, 0, 'init') or diag $r->{err};
	like($r->{out}, qr/^cluster sales was created$/m, 'the result');
	my $key = 'restrict,command="x" ssh-ed25519 AAAA failoverd:sales';
	like($r->{out}, qr{^  echo '\Q$key\E' >> ~/\.ssh/authorized_keys$}m,
	    'the line for new hosts');
	like($r->{out},
	    qr/^  failoverctl -c \Q$conf\E clone-standby HOST --name n2$/m,
	    'the next command');
	like(slurp($conf), qr/^listen = "0\.0\.0\.0:7441"/m,
	    'listens on the advertised port');
	like(slurp($conf), qr/advertise = "127\.0\.0\.1:5432"/,
	    'PostgreSQL is advertised on the same host');
	is_deeply(decode_json(slurp("$base/requests"))->{args}, { settings =>
	    { lease => '3s', detect => '1s' }, adopt => JSON::PP::false,
	    dry_run => JSON::PP::false }, 'the request');

	$r = ctl_as($how, '-c', $conf, 'init', '--cluster', 'sales',
	    '--advertise', '127.0.0.1:7441');
	is($r->{exit}, 0, 'the file is there: options may repeat it');
	for my $case ([['--node', 'n9'], qr/"n1".*"n9"/],
	    [['--advertise', '127.0.0.1'], qr/7441.*7432/],
	    [['--conf', 'log_level=debug'], qr/default.*"debug"/],
	    [['--adopt', '/other', '--yes'], qr/data.*"\/other"/]) {
		$r = ctl_as($how, '-c', $conf, 'init', @{$case->[0]});
		is($r->{exit}, 64, "a contradiction: @{$case->[0]}");
		like($r->{err}, $case->[1], 'names both values');
		ok(-e $conf, 'the file stays');
	}
	put("$base/answer", $refused);
	stop_fake($run);
	$r = ctl_as($how, '-c', $conf, 'init');
	is($r->{exit}, 3, 'refused with a file that was there');
	ok(-e $conf, 'which stays');
	ok(!is_running($run), 'the agent we started is stopped');

	unlink $conf;
	$r = ctl_as($how, @new, '--adopt', "$base/data");
	is($r->{exit}, 64, '--adopt restarts PostgreSQL: needs --yes');
	ok(!-e $conf, 'and nothing is written before');
	for my $case (['--conf', 'colour=red'], ['--advertise', 'x'],
	    ['-S', $socket], ['--conf', 'postgresql.data_dir=relative']) {
		$r = ctl_as($how, @new, @$case);
		is($r->{exit}, 64, "init @$case");
		ok(!-e $conf, 'writes nothing');
	}
	$r = ctl_as($how, '-c', $conf, 'init', '--cluster', 'sales');
	is($r->{exit}, 64, 'init needs more than a cluster');
	is(ctl(@new)->{exit}, 77, 'init does not run as root') if $> == 0;
}

is(-x $program ? 1 : 0, 1, "$program is there")
    or BAIL_OUT("build failoverctl first");
test_usage();
test_no_agent();
test_configuration();
test_status();
test_results();
test_not_permitted();
test_no_result();
test_interrupted();
test_requests();
test_shown();
test_confirmation();
test_watch();
test_init();
done_testing();
