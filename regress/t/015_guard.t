#!/usr/bin/perl
# failover-guard: it reports, it fences, it leaves nothing behind.
#
# Real PostgreSQL as user postgres, and small programs in its place where the
# odd moment is wanted.  guard_client is the agent's side (guardlink.c).
# Times are printed and never decide.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use IO::Select;
use POSIX ();
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my $PATIENCE = 60;		# seconds, for what must come sooner or later

die "this test needs root: it runs servers as postgres\n" if $> != 0;
$SIG{PIPE} = 'IGNORE';

my $top = abs_path(dirname(__FILE__) . '/../..');
my $bindir = abs_path($ENV{FAILOVERD_BINDIR} // $ENV{FAILOVERD_BUILD} // $top);
my $guard_program = "$bindir/failover-guard";
my ($client_program) = ((grep { -x } "$bindir/obj/regress/t/guard_client",
    "$bindir/regress/t/guard_client"), "$bindir/obj/regress/t/guard_client");
-x $_ or die "$_ is missing: run \"make tests\"\n"
    for $guard_program, $client_program;
my ($pg_bin) = sort { ($b =~ /(\d+)/)[0] <=> ($a =~ /(\d+)/)[0] }
    grep { -x "$_/postgres" } glob('/usr/lib/postgresql/*/bin');
defined $pg_bin or die "no PostgreSQL server in /usr/lib/postgresql\n";

my $dir = tempdir('guardXXXXXX', TMPDIR => 1);
my $data = "$dir/data";
my $fake_data = "$dir/fake";
my $socket = "$dir/guard.sock";
my $log = "$dir/log";
my (@started, @clients);
my ($uid, $gid) = (getpwnam('postgres'))[2, 3];
chown $uid, $gid, $dir or die;
chmod 0755, $dir or die;

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# Polls until the condition holds; false when patience ends.
sub wait_until {
	my ($condition, $seconds) = @_;
	my $end = now() + ($seconds // $PATIENCE);
	my $value;

	until ($value = $condition->()) {
		return if now() > $end;
		select undef, undef, undef, 0.01;
	}
	return $value;
}

sub slurp {
	my ($path) = @_;
	open my $f, '<', $path or return '';
	local $/;
	return <$f> // '';
}

# In a child: becomes the program, as that user.
sub become {
	my ($user, @argv) = @_;
	my ($u, $g) = (getpwnam($user))[2, 3];

	POSIX::setgid($g);
	$) = "$g $g";
	POSIX::setuid($u);
	exec { $argv[0] } @argv or POSIX::_exit(126);
}

# A child as another user, its output in a file; the pid.
sub spawn_as {
	my ($user, $output, @argv) = @_;
	my $pid = fork // die "fork: $!";

	if ($pid == 0) {
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $output;
		open STDERR, '>>', $output;
		become($user, @argv);
	}
	push @started, $pid;
	return $pid;
}

# Runs to its end; (exit status, output).
sub run_as {
	my ($user, @argv) = @_;
	my $output = "$dir/output";

	unlink $output;
	open my $f, '>', $output or die;
	chmod 0666, $output;
	my $pid = spawn_as($user, $output, @argv);
	waitpid $pid, 0;
	@started = grep { $_ != $pid } @started;
	return ($? >> 8, slurp($output));
}

# --- processes -----------------------------------------------------------

# pid => start time of everything that works in this directory.
sub members {
	my ($directory) = @_;
	my %found;

	for my $path (glob '/proc/[0-9]*') {
		my ($pid) = $path =~ /(\d+)/;
		next if (readlink("$path/cwd") // '') ne $directory;
		my $start = start_of($pid);
		$found{$pid} = $start if defined $start;
	}
	return \%found;
}

sub start_of {
	my ($pid) = @_;
	my $stat = slurp("/proc/$pid/stat");
	return $stat =~ /.*\)(.*)/s ? (split ' ', $1)[19] : undef;
}

sub parent_of {
	my $stat = slurp("/proc/$_[0]/stat");
	return $stat =~ /.*\)(.*)/s ? (split ' ', $1)[1] : 0;
}

# Those that are still there, dead and unreaped ones too.
sub survivors {
	my ($members) = @_;
	return grep { (start_of($_) // -1) == $members->{$_} }
	    sort keys %$members;
}

sub command_of { my $c = slurp("/proc/$_[0]/cmdline"); $c =~ tr/\0/ /; $c }

# --- the agent's side ----------------------------------------------------

sub client {
	my ($user) = @_;
	my $self = { lines => [], rest => '' };

	pipe my $in, $self->{in} or die;
	pipe $self->{out}, my $out or die;
	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0) {
		open STDIN, '<&', $in;
		open STDOUT, '>&', $out;
		become($user // 'postgres', $client_program, $socket);
	}
	$self->{in}->autoflush(1);
	push @clients, $self;
	return $self;
}

sub say_to {
	my ($client, $line) = @_;
	print { $client->{in} } "$line\n";
}

# The next line that matches, undef if none comes.  Lines before it are
# dropped, or with $keep left for the next who listens.
sub hear {
	my ($client, $regex, $seconds, $keep) = @_;
	my $end = now() + ($seconds // $PATIENCE);
	my $select = IO::Select->new($client->{out});
	my $at = 0;

	for (;;) {
		for (; $at < @{$client->{lines}}; $at++) {
			next if $client->{lines}[$at] !~ $regex;
			my ($line) = splice @{$client->{lines}}, $at, 1;
			splice @{$client->{lines}}, 0, $at if !$keep;
			return $line;
		}
		my $left = $end - now();
		last if $left <= 0 || !$select->can_read($left);
		sysread($client->{out}, $client->{rest}, 65536,
		    length $client->{rest}) or last;
		while ($client->{rest} =~ s/^(.*)\n//) {
			push @{$client->{lines}}, $1;
			push @{$client->{heard}}, $1;
		}
	}
	diag("waited for $regex, heard:\n  ",
	    join("\n  ", @{$client->{heard} // []}));
	return;
}

# What the guard says meanwhile stays to be heard.
sub ask {
	my ($client, $line, $regex) = @_;
	say_to($client, $line);
	return hear($client, $regex // qr/^(?!status|closed)/, undef, 1);
}

sub leave {
	my ($client) = @_;
	say_to($client, 'quit');
	waitpid $client->{pid}, 0;
	@clients = grep { $_ != $client } @clients;
}

sub field { my ($line, $name) = @_; ($line // '') =~ /\b$name=(\S*)/ && $1 }

# start; then attach.  Options: armed, ms, margin, epoch, watch, argv, data.
sub begin {
	my ($client, %o) = @_;
	my @argv = $o{argv} ? @{$o{argv}} : ("$pg_bin/postgres", '-D', $data,
	    '-k', $dir, '-c', 'listen_addresses=', '-c', 'fsync=off', '-c',
	    'restart_after_crash=off', @{$o{settings} // []});

	# Nothing of an earlier guard may be taken for this one's.
	$client->{lines} = [];
	$client->{heard} = [];
	return ask($client, join(' ', 'start', $o{armed} // 0, $o{ms} // 0,
	    $o{margin} // 100, $o{epoch} // 1, $o{watch} // 0,
	    $guard_program, $log, $o{data} // $data, @argv),
	    qr/^(started|error)/);
}

# The answer, which shows the page as the guard has read it.
sub poke {
	my ($client) = @_;

	ask($client, 'poke', qr/^sent/);
	return hear($client, qr/^status .*armed=1/, undef, 1);
}

sub attach { ask($_[0], 'attach', qr/^(attached|error)/) }

sub psql {
	my ($sql) = @_;
	my ($status, $output) = run_as('postgres', "$pg_bin/psql", '-XAtq',
	    '-h', $dir, '-d', 'postgres', '-c', $sql);
	chomp $output;
	return $status == 0 ? $output : undef;
}

sub answers { wait_until(sub { (psql('SELECT 1') // '') eq '1' }) }

# Everything dead and reaped at the moment "gone" is heard.
sub gone_ok {
	my ($client, $members, $reason, $name) = @_;
	my $line = hear($client, qr/^(status|attached) .*state=gone/);
	my @left = survivors($members);

	is_deeply([map { "$_ " . command_of($_) } @left], [],
	    "$name: none left when \"gone\" is heard");
	is(field($line, 'reason'), $reason, "$name: reason");
	is(field($line, 'pid'), 0, "$name: postmaster reaped");
	note("$name: ", scalar(keys %$members), ' processes, kill_ms=',
	    field($line, 'kill_ms'), ' reaped=', field($line, 'reaped'));
	return $line;
}

sub released_ok {
	my ($guard_pid, $name) = @_;
	ok(wait_until(sub { !-e "/proc/$guard_pid" }), "$name: guard ended");
	ok(!-e $socket, "$name: socket removed");
}

sub busy_backends {
	my ($n) = @_;
	my $sql = 'DO $$BEGIN LOOP INSERT INTO busy VALUES (1); COMMIT; '
	    . 'END LOOP; END$$';
	my @pids;

	psql('CREATE TABLE IF NOT EXISTS busy (a int)');
	push @pids, spawn_as('postgres', "$dir/psql.out", "$pg_bin/psql",
	    '-Xq', '-h', $dir, '-d', 'postgres', '-c', $sql) for 1 .. $n;
	ok(wait_until(sub { (psql("SELECT count(*) FROM pg_stat_activity "
	    . "WHERE query LIKE 'DO %'") // 0) == $n }), "$n busy backends");
	return @pids;
}

# Clients end when their server does; one whose server did not is ended.
sub no_more {
	for my $pid (@_) {
		next if wait_until(sub { waitpid($pid, POSIX::WNOHANG()) != 0 });
		kill 9, $pid;
		waitpid $pid, 0;
	}
	my %done = map { $_ => 1 } @_;
	@started = grep { !$done{$_} } @started;
}

# A program in PostgreSQL's place.
sub fake {
	my ($text) = @_;
	my $path = "$dir/fake.pl";

	open my $f, '>', $path or die;
	print $f "#!/usr/bin/perl\nuse strict; use POSIX ();\n",
	    "chdir '$fake_data'; \$| = 1;\n$text\n";
	close $f;
	chmod 0755, $path;
	return [$path];
}

# --- set up --------------------------------------------------------------

open my $touch, '>', "$dir/psql.out" or die;
chmod 0666, "$dir/psql.out";
make_path($fake_data);
chown $uid, $gid, $fake_data;
my ($status, $output) = run_as('postgres', "$pg_bin/initdb", '-D', $data,
    '-A', 'trust', '-N');
is($status, 0, 'initdb') or BAIL_OUT($output);

# --- what is refused, with one line --------------------------------------

sub refused_ok {
	my ($expected, $regex, $name, @argv) = @_;
	my ($s, $o) = run_as('postgres', $guard_program, @argv);

	is($s, $expected, "$name: exit status");
	like($o, $regex, "$name: message");
}

my @common = ('-s', $socket, '-l', $log, '-D', $data);
refused_ok(64, qr/^usage: failover-guard /, 'no program', @common);
refused_ok(64, qr/must be absolute: "log"/, 'relative path', '-s', $socket,
    '-l', 'log', '-D', $data, '--', '/bin/true');
refused_ok(64, qr/needs a lease/, 'primary without a lease', @common, '-p',
    '--', '/bin/true');
refused_ok(1, qr/^failover-guard: the lease of epoch 9 has already ended\n\z/,
    'lease in the past', @common, '-p', '-d', 1, '-e', 9, '--', '/bin/true');
refused_ok(1, qr{^failover-guard: could not execute .*: No such file .*\n\z},
    'no such program', @common, '--', '/nonexistent');
refused_ok(1, qr/could not find ".*standby\.signal"/, 'no standby.signal',
    @common, '-g', '--', '/bin/true');
refused_ok(1, qr/log file ".*fifo" is not a regular file/, 'log is a pipe',
    '-s', $socket, '-l', do { POSIX::mkfifo("$dir/fifo", 0666);
    chmod 0666, "$dir/fifo"; "$dir/fifo" }, '-D', $data, '--', '/bin/true');
ok(!-e $socket, 'no socket after a refused start');

my $agent = client();
like(attach($agent), qr/^error errno=ENOENT/, 'attaching to no guard');

# --- an ordinary life ----------------------------------------------------

is(begin($agent, epoch => 4711, settings => ['-c', 'logging_collector=on',
    '-c', 'log_directory=collected']), 'started', 'guard started');
my $line = attach($agent);
my $guard_pid = field($line, 'guard');
like($line, qr/state=running reason=none/, 'attached');
note('features: ', field($line, 'features'));
ok(answers(), 'PostgreSQL answers');
my $page = ask($agent, 'page', qr/^page/);
is(field($page, 'program'), abs_path("$pg_bin/postgres"),
    'the page names the program');
is(field($page, 'data'), $data, 'and the data directory');
is((stat $socket)[2] & 07777, 0600, 'the socket is private');
my $postmaster = field($line, 'pid');
is(readlink("/proc/$postmaster/fd/0"), '/dev/null', 'stdin is /dev/null');
like(slurp("/proc/$postmaster/status"), qr/^SigBlk:\s*0+$/m,
    'no signal is blocked in it');
is(slurp("/proc/$postmaster/oom_score_adj") + 0, 0, 'its OOM score is 0');
is((split ' ', (slurp("/proc/$postmaster/stat") =~ /.*\)(.*)/s)[0])[3],
    $postmaster, 'it has a session of its own');
is_deeply([grep { !m{^(/dev/null|\Q$log\E)$} } map { readlink }
    grep { /guard|memfd|inotify|timerfd/ } glob "/proc/$postmaster/fd/*"], [],
    'no descriptor of the guard is left in it');

refused_ok(1, qr/^failover-guard: another guard is running on socket/,
    'second guard', @common, '--', '/bin/true');
ok(-S $socket, 'which leaves the socket of the first');

chmod 0666, $socket;
my $stranger = client('nobody');
like(attach($stranger), qr/^error .*(closed the connection|reset|pipe)/i,
    'a foreign uid gets no answer');
leave($stranger);
chmod 0600, $socket;
my $root = client('root');
like(attach($root), qr/^attached /, 'root may attach');
leave($root);

is(ask($agent, 'arm 600000 250 4712'), 'written', 'page written');
like(poke($agent), qr/armed=1 epoch=4712/,
    'the answer to a poke confirms that the guard is armed');
is(ask($agent, 'detach'), 'detached', 'agent detached');
ok(answers(), 'PostgreSQL goes on');
like(attach($agent), qr/guard=$guard_pid .*state=running/, 'attached again');
$page = ask($agent, 'page', qr/^page/);
like($page, qr/guard=$guard_pid mine_epoch=4712 mine_armed=1 mine_margin=250/,
    'the same page');
kill 9, $agent->{pid};
waitpid $agent->{pid}, 0;
@clients = ();
ok(answers(), 'an agent that is killed changes nothing');
$agent = client();
like(attach($agent), qr/guard=$guard_pid .*epoch=4712/, 'its successor');

# More agents than places: the oldest goes, the newest is served.
my @crowd = map { client() } 1 .. 5;
like(attach($_), qr/^attached /, 'one more agent') for @crowd;
ok(hear($agent, qr/^closed/), 'the first of too many is sent away');
leave($_) for @crowd;
like(attach($agent), qr/^attached /, 'and may come back');

my $members = members($data);
ask($agent, 'stop', qr/^sent/);
ok(hear($agent, qr/^status state=stopping/), 'fast stop: told at once');
$line = hear($agent, qr/^status state=killing/);
is(field($line, 'reason'), 'stopped', 'fast stop: end reported');
$line = gone_ok($agent, $members, 'stopped', 'fast stop');
is(field($line, 'exit'), 0, 'fast stop: exit status 0');
released_ok($guard_pid, 'fast stop');
like(join('', map { slurp($_) } glob "$data/collected/*"),
    qr/database system is shut down/, 'the logger wrote the last line');
like(slurp($log), qr/LOG:  failover-guard: the fast shutdown .* none is left/,
    'and the guard its own');

# --- the postmaster dies -------------------------------------------------

for my $round (1 .. 5) {
	my $name = "kill9 $round";

	is(begin($agent), 'started', "$name: started at once");
	$line = attach($agent);
	$guard_pid = field($line, 'guard');
	ok(answers(), "$name: answers");
	$members = members($data);
	is_deeply([map { readlink '/proc/' . field($line, 'pid') . "/fd/$_" }
	    0 .. 2], ['/dev/null', $log, $log],
	    "$name: stdin, stdout, stderr");
	kill 9, field($line, 'pid');
	$line = hear($agent, qr/^status state=killing/);
	is(field($line, 'reason'), 'exited', "$name: reported first");
	is(field($line, 'exit'), 9, "$name: with the exit status");
	note("$name: heard ", field($line, 'died_us_ago'),
	    ' us after the guard reaped it');
	gone_ok($agent, $members, 'exited', $name);
}

# --- the lease -----------------------------------------------------------

sub lease {
	my ($name, $prepare) = @_;

	is(begin($agent), 'started', "$name: started");
	my $l = attach($agent);
	ok(answers(), "$name: answers");
	my @psql = busy_backends(20);
	my $m = members($data);
	ok(keys %$m > 20, "$name: all processes known");
	$prepare->(field($l, 'pid'));
	ask($agent, 'arm 600 150 5', qr/^written/);
	like(poke($agent), qr/armed=1/, "$name: armed");
	$l = hear($agent, qr/^status state=killing/);
	is(field($l, 'fenced'), 1, "$name: the page is marked fenced");
	ask($agent, 'deadline 600000', qr/^written/);
	gone_ok($agent, $m, 'deadline', $name);
	is_deeply(members($data), {}, "$name: nobody came after");
	no_more(@psql);
}

lease('lease', sub { });
lease('lease, one backend stopped', sub {
	my $pid = psql("SELECT min(pid) FROM pg_stat_activity "
	    . "WHERE query LIKE 'DO %'");
	kill 'STOP', $pid;
	ok(wait_until(sub { slurp("/proc/$pid/stat") =~ /\) T / }),
	    'backend stopped');
});
lease('lease, postmaster stopped', sub {
	my ($pid) = @_;
	kill 'STOP', $pid;
	ok(wait_until(sub { slurp("/proc/$pid/stat") =~ /\) T / }),
	    'postmaster stopped');
});

# A deadline that moves away is found without a poke; one that moves closer
# needs it.
is(begin($agent, armed => 1, ms => 20000, margin => 100, epoch => 8),
    'started', 'started as a primary');
$line = attach($agent);
like($line, qr/armed=1 epoch=8/, 'armed from the start');
ok(answers(), 'answers');
ask($agent, 'deadline 1000', qr/^written/);
poke($agent);
ask($agent, 'deadline 600000', qr/^written/);
my $passed = now() + 1.5;
my $well = 1;
wait_until(sub {
	$well &&= (psql('SELECT 1') // '') eq '1';
	return now() > $passed || !$well;
});
ok($well, 'a deadline that moved forward in time keeps it alive');
$members = members($data);
ask($agent, 'deadline 300', qr/^written/);
poke($agent);
gone_ok($agent, $members, 'deadline', 'deadline moved closer');

# A page that is armed and never poked about is looked at all the same.
is(begin($agent), 'started', 'started once more');
attach($agent);
ok(answers(), 'answers');
$members = members($data);
ask($agent, 'arm 1 0 9', qr/^written/);
gone_ok($agent, $members, 'deadline', 'no poke');

# --- orders --------------------------------------------------------------

is(begin($agent), 'started', 'started for an order');
attach($agent);
ok(answers(), 'answers');
$members = members($data);
ask($agent, 'kill', qr/^sent/);
gone_ok($agent, $members, 'ordered', 'kill ordered');

is(begin($agent), 'started', 'started for SIGTERM');
$line = attach($agent);
ok(answers(), 'answers');
$members = members($data);
kill 'TERM', field($line, 'guard');
$line = gone_ok($agent, $members, 'stopped', 'SIGTERM to the guard');
is(field($line, 'exit'), 0, 'is a fast shutdown');

# The deadline holds while a shutdown hangs.
is(begin($agent, data => $fake_data, argv => fake('$SIG{INT} = "IGNORE";
    fork; fork; 1 while sleep 1000;')), 'started', 'started one that hangs');
attach($agent);
ok(wait_until(sub { keys %{members($fake_data)} == 4 }), 'four processes');
$members = members($fake_data);
ask($agent, 'stop', qr/^sent/);
ok(hear($agent, qr/^status state=stopping/), 'stopping');
ask($agent, 'arm 400 100 3', qr/^written/);
poke($agent);
gone_ok($agent, $members, 'deadline', 'lease ends during a stop');

# Processes that run away from their parents: two forks, own sessions.
is(begin($agent, data => $fake_data, argv => fake('
    for (1 .. 3) {
	next if fork;
	POSIX::setsid();
	for (1 .. 3) { next if fork; POSIX::setsid(); exit 0 if fork;
	    $SIG{TERM} = $SIG{HUP} = "IGNORE"; 1 while sleep 1000; }
	1 while sleep 1000;
    }
    1 while sleep 1000;')), 'started', 'started one with runaways');
$line = attach($agent);
ok(wait_until(sub { keys %{members($fake_data)} == 13 &&
    10 == grep { parent_of($_) == field($line, 'guard') }
    keys %{members($fake_data)} }), 'nine have run away to the guard');
$members = members($fake_data);
kill 9, field($line, 'pid');
gone_ok($agent, $members, 'exited', 'runaways');
is_deeply(members($fake_data), {}, 'runaways: nobody else is left');

# One that keeps forking while it is being killed.
is(begin($agent, data => $fake_data, argv => fake('$SIG{CHLD} = "IGNORE";
    for (;;) { my $p = fork; if (defined $p && !$p) {
	if (fork) { select undef, undef, undef, 0.5; exit 0 }
	select undef, undef, undef, 1; exit 0; }
	select undef, undef, undef, 0.005; }')), 'started',
    'started one that forks');
attach($agent);
ok(wait_until(sub { keys %{members($fake_data)} >= 20 }), 'it forks');
$members = members($fake_data);
ask($agent, 'kill', qr/^sent/);
gone_ok($agent, $members, 'ordered', 'one that forks');
is_deeply(members($fake_data), {}, 'one that forks: nobody else is left');

# What root may have, the guard has and its child has not.
my $privileged = client('root');
is(begin($privileged, data => $fake_data, argv => fake('1 while sleep 1000')),
    'started', 'started as root');
$line = attach($privileged);
# What a host grants differs; that the page tells the truth does not.
my $has = field($line, 'features');
my $as_guard = field($line, 'guard');
sub policy { (split ' ', (slurp("/proc/$_[0]/stat") =~ /.*\)(.*)/s)[0])[38] }
note("features as root: $has");
# AddressSanitizer answers mlockall() itself and locks nothing.
is(slurp("/proc/$as_guard/status") =~ /^VmLck:\s*[1-9]/m ? 1 : 0,
    slurp($guard_program) =~ /__asan_init/ ? 0 : $has & 1,
    'memory locked or not, as the page says');
is(policy($as_guard) == 1 ? 2 : 0, $has & 2,
    'SCHED_FIFO or not, as the page says');
is(slurp("/proc/$as_guard/oom_score_adj") < 0 ? 4 : 0, $has & 4,
    'OOM score below 0 or not, as the page says');
is(policy(field($line, 'pid')), 0, 'its child runs SCHED_OTHER');
is(slurp('/proc/' . field($line, 'pid') . '/oom_score_adj') + 0, 0,
    'with an ordinary OOM score');
ok(wait_until(sub { keys %{members($fake_data)} == 1 }), 'it runs');
$members = members($fake_data);
ask($privileged, 'kill', qr/^sent/);
gone_ok($privileged, $members, 'ordered', 'as root');
leave($privileged);
chown $uid, $gid, $log, "$socket.lock";

# A logger ends only after its postmaster; there is a moment for it when the
# postmaster ended in order.  One round of five is enough on a busy host.
my $rounds = 0;
wait_until(sub {
	begin($agent, data => $fake_data, argv => fake('
	    pipe my $r, my $w; unlink "last";
	    if (!fork) { close $w; <$r>; system "/bin/true" for 1 .. 3;
		open my $f, ">", "last"; exit 0 }
	    exit 0')) eq 'started' or return;
	attach($agent);
	hear($agent, qr/^(status|attached) .*state=gone/);
	return -e "$fake_data/last" || ++$rounds == 5;
});
ok(-e "$fake_data/last", 'the logger had time for its last line');
unlink "$fake_data/last";

# It ended before anybody attached: the guard stays to tell.
my $short = 'open my $f, ">", "pid"; print $f $$; close $f; exit 3';
sub short_has_ended {
	return wait_until(sub { my $p = slurp("$fake_data/pid");
	    $p ne '' && !defined start_of($p) });
}
is(begin($agent, data => $fake_data, argv => fake($short)), 'started',
    'started one that ends at once');
ok(short_has_ended(), 'it has ended');
unlink "$fake_data/pid";
$line = attach($agent);
like($line, qr/state=gone reason=exited pid=0 exit=768 /,
    'a late agent still learns how');
released_ok(field($line, 'guard'), 'ended at once');

# And does not stand in the way of the next one meanwhile.
is(begin($agent, data => $fake_data, argv => fake($short)), 'started',
    'and again');
ok(short_has_ended(), 'it has ended too');
ok(wait_until(sub { begin($agent) eq 'started' }),
    'the next guard takes the place of one that only waits');
$line = attach($agent);
like($line, qr/state=running/, 'and has the socket');
ok(answers(), 'it answers');

# --- the guard dies ------------------------------------------------------

$guard_pid = field($line, 'guard');
my @psql = busy_backends(5);
$members = members($data);
kill 9, $guard_pid;
my $killed = now();
ok(hear($agent, qr/^closed/), 'guard killed: the agent notices');
ok(wait_until(sub { ask($agent, 'ended', qr/^ended/) eq 'ended 1' }),
    'and its pidfd says so');
# Where process 1 is slow to reap, the dead stay for a while.
ok(wait_until(sub { !grep { slurp("/proc/$_/stat") !~ /\) Z / }
    survivors($members) }), 'guard killed: PostgreSQL ends by itself');
note(sprintf 'guard killed: all gone after %.0f ms', 1000 * (now() - $killed));
no_more(@psql);
ok(wait_until(sub { !survivors($members) }), 'and is reaped by process 1');
ok(-S $socket, 'its socket stays behind');
like(attach($agent), qr/^error errno=ECONNREFUSED/, 'and refuses');
is(begin($agent), 'started', 'the next guard takes it over');
$line = attach($agent);
ok(answers(), 'it answers');

# Stopped postmaster and dead guard: nobody but the agent is left.
$guard_pid = field($line, 'guard');
@psql = busy_backends(5);
$members = members($data);
kill 'STOP', field($line, 'pid');
kill 9, $guard_pid;
ok(hear($agent, qr/^closed/), 'guard killed, postmaster stopped');
cmp_ok(scalar(survivors($members)), '>', 5, 'they live on');
my $bystander = spawn_as('postgres', '/dev/null', '/usr/bin/perl', '-e',
    "chdir '$data'; 1 while sleep 1000");
ok(wait_until(sub { (readlink("/proc/$bystander/cwd") // '') eq $data }),
    'somebody else works in the directory');
$line = ask($agent, 'kill_all 20000', qr/^(killed|error)/);
my @left = survivors($members);
is_deeply([map { command_of($_) } @left], [], 'the agent kills them all');
like($line, qr/^killed/, 'and says so');
note("kill_all: $line");
is(waitpid($bystander, POSIX::WNOHANG()), 0, 'but not the bystander');
kill 9, $bystander;
no_more(@psql, $bystander);

# Postmaster and guard dead, orphans alive: found by program and directory.
is(begin($agent), 'started', 'started after kill_all');
$line = attach($agent);
ok(answers(), 'answers');
@psql = busy_backends(3);
$members = members($data);
kill 'STOP', keys %$members;
kill 9, field($line, 'guard');
kill 9, field($line, 'pid');
ok(hear($agent, qr/^closed/), 'guard and postmaster killed');
ok(wait_until(sub { !grep { $_ == field($line, 'pid') }
    survivors($members) }), 'the postmaster is gone');
cmp_ok(scalar(survivors($members)), '>', 3, 'orphans live on');
$line = ask($agent, 'kill_all 20000', qr/^(killed|error)/);
@left = wait_until(sub { !survivors($members) }) ? () : survivors($members);
is_deeply([map { command_of($_) } @left], [], 'the agent finds them all');
no_more(@psql);
is(begin($agent), 'started', 'PostgreSQL can be started after that');
attach($agent);
ok(answers(), 'it answers');
ask($agent, 'stop', qr/^sent/);
ok(hear($agent, qr/state=gone reason=stopped/), 'and stopped');

# --- standby.signal ------------------------------------------------------

sub standby {
	my ($name) = @_;
	open my $f, '>', "$data/standby.signal" or die;
	close $f;
	chown $uid, $gid, "$data/standby.signal";
	is(begin($agent, watch => 1), 'started', "$name: standby started");
	my $l = attach($agent);
	ok(wait_until(sub { (psql('SELECT pg_is_in_recovery()') // '')
	    eq 't' }), "$name: in recovery");
	ok(field($l, 'features') & 16, "$name: the watch is on");
	return $l;
}

standby('signal removed');
$members = members($data);
unlink "$data/unrelated" if open my $f, '>', "$data/unrelated";
unlink "$data/standby.signal" or die;
gone_ok($agent, $members, 'standby-signal', 'signal removed');

standby('signal renamed');
$members = members($data);
rename "$data/standby.signal", "$data/standby.signal.off" or die;
gone_ok($agent, $members, 'standby-signal', 'signal renamed');
unlink "$data/standby.signal.off";

standby('promoted by hand');
$members = members($data);
run_as('postgres', "$pg_bin/pg_ctl", 'promote', '-W', '-D', $data);
gone_ok($agent, $members, 'standby-signal', 'promoted by hand');

$line = standby('promoted with a lease');
ask($agent, 'arm 600000 100 12', qr/^written/);
like(poke($agent), qr/armed=1 epoch=12/, 'armed');
run_as('postgres', "$pg_bin/pg_ctl", 'promote', '-W', '-D', $data);
ok(wait_until(sub { !-e "$data/standby.signal" &&
    (psql('SELECT pg_is_in_recovery()') // '') eq 'f' }),
    'promoted with a lease: read-write');
psql('CREATE TABLE promoted (a int)');
like(ask($agent, 'page', qr/^page/), qr/state=running reason=none/,
    'promoted with a lease: left alone');
$members = members($data);
ask($agent, 'deadline 300', qr/^written/);
poke($agent);
gone_ok($agent, $members, 'deadline', 'and fenced like any primary');

# --- cgroup --------------------------------------------------------------

# The test stands in for the unit: a delegated subtree with agent/ in it.
my ($v2) = map { (split)[1] } grep { / cgroup2 / }
    split /\n/, slurp('/proc/mounts');
my $unit = ($v2 // '/nonexistent') . "/failoverd-test-$$";
ok(mkdir($unit) && mkdir("$unit/agent"), 'a cgroup v2 to delegate');
for my $path ($unit, "$unit/agent", map { ("$unit/$_", "$unit/agent/$_") }
    'cgroup.procs') {
	chown $uid, $gid, $path;
}
open my $procs, '>', "$unit/agent/cgroup.procs" or die "cgroup: $!";
syswrite $procs, $agent->{pid};
close $procs;
is(begin($agent), 'started', 'cgroup: started');
$line = attach($agent);
ok(answers(), 'cgroup: answers');
ok(field($line, 'features') & 8, 'cgroup: the guard has one');
$guard_pid = field($line, 'guard');
$page = ask($agent, 'page', qr/^page/);
is(field($page, 'cgroup'), "$unit/pg/$guard_pid", 'cgroup: named in the page');
$members = members($data);
my %inside = map { $_ => 1 } split ' ',
    slurp("$unit/pg/$guard_pid/cgroup.procs");
is_deeply([sort keys %inside], [sort keys %$members],
    'cgroup: all of PostgreSQL and nobody else in it');
kill 'STOP', field($line, 'pid');
ask($agent, 'arm 300 100 13', qr/^written/);
poke($agent);
gone_ok($agent, $members, 'deadline', 'cgroup');
released_ok($guard_pid, 'cgroup');
ok(!-d "$unit/pg/$guard_pid", 'cgroup: removed');

is(begin($agent), 'started', 'cgroup: started again');
$line = attach($agent);
ok(answers(), 'cgroup: answers');
$guard_pid = field($line, 'guard');
$members = members($data);
kill 'STOP', field($line, 'pid');
kill 9, $guard_pid;
ok(hear($agent, qr/^closed/), 'cgroup: guard killed');
$line = ask($agent, 'kill_all 20000', qr/^(killed|error)/);
like($line, qr/^killed/, 'cgroup: the agent does it');
is(scalar(survivors($members)), 0, 'cgroup: none left');
ok(!-d "$unit/pg/$guard_pid", 'cgroup: removed by the agent');
leave($agent);

done_testing();

END {
	my $status = $?;
	local $@;

	for my $c (@clients) {
		kill 9, $c->{pid};
		waitpid $c->{pid}, 0;
	}
	for my $pid (@started) {
		kill 9, $pid;
		waitpid $pid, 0;
	}
	# What a failed test left running, by directory and never by name.
	for my $path (defined $data ? ($data, $fake_data) : ()) {
		kill 9, keys %{members($path)};
	}
	if (defined $unit) {
		rmdir $_ for glob("$unit/pg/*"), "$unit/pg", "$unit/agent",
		    $unit;
	}
	if (defined $dir && $status == 0 && Test::More->builder->is_passing) {
		remove_tree($dir);
	} elsif (defined $dir) {
		diag("logs and data are kept in $dir");
	}
	$? = $status;
}
