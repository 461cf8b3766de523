# FailoverdTest.pm - a cluster for a test, made by contrib/sandbox/sandbox:
# the same way users make theirs, so the tests see what users see.
#
# Every cluster has its own directory and ports.  Whatever happens, END takes
# it down; when a test did not pass, its files stay and the place is said.
# Nothing waits without a deadline, and nothing sleeps instead of looking.

package FailoverdTest;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(basename dirname);
use File::Path ();
use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

use Ledger;
use Node;

our @EXPORT_OK = qw(one_line slurp tree);

my $top = $ENV{FAILOVERD_SRC} // abs_path(dirname(__FILE__) . '/../../..');
my $serial = 0;
my %living;			# clusters to take down
my $owner = $$;

# new(nodes => N, settings => {...}, conf => {...}): nothing runs yet.
# Without settings: short times, as tests want them.
sub new
{
	my ($class, %option) = @_;
	my $test = basename($0) =~ /^(\d+)/ ? $1 : 'x';
	my $dir = "/tmp/fo$test-$$-" . ++$serial;
	my $self = bless {
		nodes => $option{nodes} // 3,
		settings => { detect => '500ms', lease => '2s',
		    sync_join => '1s', %{$option{settings} // {}} },
		conf => $option{conf} // {},
		dir => $dir,
		scratch => "$dir.t",
		user => $> == 0 ? 'postgres' : scalar getpwuid $>,
		serial => $serial,
	}, $class;

	mkdir $self->{scratch}, 0755 or
	    die "could not create $self->{scratch}: $!\n";
	$living{$serial} = $self;
	return $self;
}

# A file of the test itself, away from what the nodes own.
sub scratch
{
	my ($self, $name) = @_;

	return "$self->{scratch}/$name";
}

sub dir { return $_[0]{dir} }

# --- Running things -------------------------------------------------------

# run({ timeout, stdin, env }, ARGV...): (exit, stdout, stderr).  A program
# that is too slow is killed with its children and has exit 124.
sub run
{
	my ($self, $option, @argv) = @_;
	my $deadline = now() + ($option->{timeout} // 30);
	my $base = $self->scratch('run-' . ++$self->{runs});
	my ($exit, $pid);

	$pid = fork // die "could not fork: $!\n";
	if ($pid == 0) {
		setpgrp;
		$SIG{$_} = 'DEFAULT' for qw(INT TERM PIPE);
		$ENV{$_} = $option->{env}{$_} for keys %{$option->{env}};
		open STDIN, '<', $option->{stdin} // '/dev/null';
		open STDOUT, '>', "$base.out";
		open STDERR, '>', "$base.err";
		exec { $argv[0] } @argv or POSIX::_exit(127);
	}
	while (waitpid($pid, POSIX::WNOHANG) == 0) {
		if (now() > $deadline) {
			kill KILL => -$pid;
			waitpid $pid, 0;
			$exit = 124;
			diag("too slow, killed: @argv");
			last;
		}
		sleep 0.01;
	}
	$exit //= $? & 127 ? 128 + ($? & 127) : $? >> 8;
	my @text = map { slurp("$base.$_") } qw(out err);
	unlink "$base.out", "$base.err";
	return ($exit, @text);
}

sub sandbox_argv
{
	my ($self, @args) = @_;

	return ("$top/contrib/sandbox/sandbox", '-d', $self->{dir}, @args);
}

sub sandbox
{
	my ($self, $option, @args) = @_;

	return $self->run($option, $self->sandbox_argv(@args));
}

# Its stdout; dies if it did not succeed.
sub sandbox_ok
{
	my ($self, @args) = @_;
	my ($exit, $out, $err) = $self->sandbox({ timeout => 120 }, @args);

	die "sandbox @args: exit $exit\n$out$err" if $exit != 0;
	return $out;
}

sub box
{
	my ($self) = @_;

	return decode_json(slurp("$self->{dir}/sandbox.json"));
}

sub bin_dir
{
	my ($self) = @_;

	return $self->box->{bindir} // '/usr/bin';
}

sub failoverctl { return $_[0]->bin_dir . '/failoverctl' }

# As the user who runs the servers: argv in front of a command.
sub as_user
{
	my ($self, @argv) = @_;

	return $> == 0 ? ('runuser', '-u', $self->{user}, '--', @argv) :
	    @argv;
}

# --- The cluster ----------------------------------------------------------

sub up
{
	my ($self, @args) = @_;
	my ($exit, $out, $err) = $self->sandbox({ timeout => 240 }, 'up',
	    '--nodes', $self->{nodes}, @args,
	    (map { ('--set', "$_=$self->{settings}{$_}") }
	    sort keys %{$self->{settings}}),
	    (map { ('--conf', "$_=$self->{conf}{$_}") }
	    sort keys %{$self->{conf}}));

	$self->{up_output} = $out . $err;
	die "the cluster does not come up:\n$out$err" if $exit != 0;
	return $self;
}

sub node
{
	my ($self, $name) = @_;
	my $ports = $self->box->{nodes}{$name} // die "no node $name\n";

	return $self->{node}{$name} //= Node->new($self, $name, $ports);
}

# A host with an sshd and nothing else.
sub bare_host
{
	my ($self, $name) = @_;

	$self->sandbox_ok('host', $name);
	return $self->node($name);
}

# failoverctl through any agent: (exit, stdout, stderr).
sub ctl
{
	my ($self, @args) = @_;

	return $self->sandbox({ timeout => 90 }, 'ctl', @args);
}

# The decoded object that `--format json` prints, undef if there was none.
sub ctl_json
{
	my ($self, @args) = @_;
	my ($exit, $out) = $self->ctl('--format', 'json', @args);

	return eval { decode_json($out) };
}

sub status
{
	my ($self) = @_;
	my $status = $self->ctl_json('status');

	return $status && $status->{nodes} ? $status : undef;
}

# What a coordinator says, never what a node that has just come back believes.
sub agreed
{
	my ($self) = @_;

	return $self->wait_status(sub { !$_[0]{stale} }, 20,
	    'a coordinator') || {};
}

sub primary { return $_[0]->agreed->{primary} }
sub coordinator { return $_[0]->agreed->{coordinator} }

# The answer as psql -At prints it, undef if there was none in time.
sub psql
{
	my ($self, $node, $sql, $timeout) = @_;
	my ($exit, $out, $err) = $self->sandbox({ timeout => $timeout // 5 },
	    'psql', $node, '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', $sql);

	$self->{psql_error} = $err;
	chomp $out;
	return $exit == 0 ? $out : undef;
}

sub kill9 { my ($self, $node, $what) = @_; $self->node($node)->kill9($what) }
sub start { my ($self, $node) = @_; $self->node($node)->start }

sub freeze
{
	my ($self, $node, @what) = @_;

	return $self->node($node)->freeze(@what);
}

sub thaw { my ($self, $node) = @_; $self->node($node)->thaw }

# Writes rows from now on; made to be checked with lost().
sub ledger
{
	my ($self) = @_;

	defined $self->psql('primary', 'CREATE TABLE IF NOT EXISTS ledger '
	    . '(n integer PRIMARY KEY)', 20) or
	    die "could not create the ledger: $self->{psql_error}\n";
	return Ledger->start($self);
}

# --- Waiting --------------------------------------------------------------

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# Asks until the answer is true and returns it; undef when time is up.
sub wait_until
{
	my ($self, $ask, $timeout, $what) = @_;
	my $deadline = now() + ($timeout // 30);

	for (;;) {
		my $answer = $ask->();
		return $answer if $answer;
		if (now() > $deadline) {
			diag("waited in vain for: $what");
			return undef;
		}
		sleep 0.1;
	}
}

# wait_status(sub { $_[0] is the status }, timeout, what): the first status
# that fits, or undef and the last one in a diag.
sub wait_status
{
	my ($self, $fits, $timeout, $what) = @_;
	my $last;

	my $status = $self->wait_until(sub {
		$last = $self->status // return undef;
		return $fits->($last) ? $last : undef;
	}, $timeout, $what);
	diag('the last status was: ', defined $last ?
	    JSON::PP->new->canonical->pretty->encode($last) : 'none')
	    if !$status;
	return $status;
}

# Every node as it should be, nobody else's node in it.
sub wait_healthy
{
	my ($self, $timeout) = @_;

	return $self->wait_status(sub { $_[0]{health} eq 'healthy' },
	    $timeout // 60, 'a healthy cluster');
}

# --- Small things for tests -----------------------------------------------

sub slurp
{
	my ($path) = @_;

	open my $file, '<', $path or return '';
	local $/;
	return scalar(<$file>) // '';
}

# What is below a directory: path, kind, mode, size and content's date of
# every file, to be compared.
sub tree
{
	my ($path) = @_;
	my @lines;
	my @todo = ('');

	while (defined(my $relative = shift @todo)) {
		my @st = lstat "$path/$relative" or next;
		push @lines, sprintf '%s %o %d %s', $relative, $st[2],
		    -d _ ? 0 : $st[7], -d _ ? '-' : $st[9];
		next if !-d _;
		opendir my $dir, "$path/$relative" or next;
		push @todo, map { "$relative/$_" } sort
		    grep { !/^\.\.?$/ } readdir $dir;
	}
	return join "\n", sort @lines;
}

# Is it an error as failoverctl prints it: one line, then at most one hint?
sub one_line
{
	my ($text) = @_;
	my @lines = grep { !/^  / } split /\n/, $text;

	return @lines == 1 || @lines == 2 && $lines[1] =~ /^HINT: /;
}

# --- The end --------------------------------------------------------------

# In a child: the cluster is the parent's to take down.
sub forget { %living = () }

sub down
{
	my ($self, $keep) = @_;
	my ($exit, $out, $err);

	delete $living{$self->{serial}};
	for my $node (values %{$self->{node}}) {
		$node->thaw;
	}
	if (-e $self->{dir}) {
		($exit, $out, $err) = $self->sandbox({ timeout => 60 },
		    'down', $keep ? '--keep' : ());
		diag("sandbox down: exit $exit\n$err") if $exit != 0;
	}
	if ($keep) {
		diag("kept for a look: $self->{dir} and $self->{scratch}");
	} else {
		File::Path::remove_tree($self->{scratch});
	}
	return $exit // 0;
}

# A reader that went away must not keep END from cleaning up.
$SIG{$_} = sub { $SIG{PIPE} = 'IGNORE'; exit 1 } for qw(INT TERM HUP PIPE);

END {
	if ($$ == $owner) {
		$SIG{PIPE} = 'IGNORE';
		my $status = $?;
		my $failed = $status != 0 || !Test::More->builder->is_passing;
		$_->down($failed) for values %living;
		$? = $status;
	}
}

1;
