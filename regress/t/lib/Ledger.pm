# Ledger.pm - a client that writes without pause and remembers every commit
# that was acknowledged, to ask for it later.
#
# It connects as applications do, to whichever node is read-write, and has a
# deadline of its own for every statement: the server's would not interrupt a
# commit that waits for a standby.

package Ledger;

use strict;
use warnings;

use IO::Select;
use IPC::Open2;
use POSIX ();
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

use constant {
	DEADLINE => 3,		# seconds a client waits for one row
	PAUSE => 0.02,		# between rows
};

# The table has to exist, see FailoverdTest::ledger().
sub start
{
	my ($class, $cluster) = @_;
	my $file = $cluster->scratch('ledger');
	my $pid = fork // die "could not fork: $!\n";

	if ($pid == 0) {
		$cluster->forget;
		$SIG{TERM} = $SIG{INT} = 'DEFAULT';
		eval { write_rows($cluster, $file) };
		print STDERR "# ledger: $@" if $@;
		POSIX::_exit(1);
	}
	return bless { cluster => $cluster, file => $file, pid => $pid },
	    $class;
}

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# psql, connected to the primary if there is one: (pid, to it, from it).
sub connect_any
{
	my ($cluster) = @_;

	local $ENV{PGCONNECT_TIMEOUT} = 2;
	open my $errors, '>>', $cluster->scratch('ledger.err') or die $!;
	my $saved;
	open $saved, '>&', \*STDERR;
	open STDERR, '>&', $errors;
	my $pid = open2(my $out, my $in, $cluster->sandbox_argv('psql',
	    'any', '-XAtq', '-v', 'ON_ERROR_STOP=1'));
	open STDERR, '>&', $saved;
	return ($pid, $in, $out);
}

# One row; true if psql said that it is there.
sub insert
{
	my ($in, $out, $number) = @_;
	my $deadline = now() + DEADLINE;
	my $select = IO::Select->new($out);
	my $text = '';

	syswrite $in, "INSERT INTO ledger VALUES ($number) RETURNING n;\n" or
	    return 0;
	while ($text !~ /\n/) {
		my $left = $deadline - now();
		return 0 if $left <= 0 || !$select->can_read($left);
		return 0 if !sysread $out, $text, 4096, length $text;
	}
	return $text eq "$number\n";
}

sub write_rows
{
	my ($cluster, $file) = @_;
	my ($pid, $in, $out);
	my $parent = getppid;

	open my $acknowledged, '>', $file or die "$file: $!\n";
	$acknowledged->autoflush(1);
	$SIG{PIPE} = 'IGNORE';
	for (my $number = 1; getppid == $parent; $number++) {
		($pid, $in, $out) = connect_any($cluster) if !defined $pid;
		if (insert($in, $out, $number)) {
			printf $acknowledged "%d %.3f\n", $number, now();
			sleep PAUSE;
			next;
		}
		# Whether this row was committed is unknown: it is not
		# counted, and the number is not used again.
		kill KILL => $pid;
		close $in;
		close $out;
		waitpid $pid, 0;
		undef $pid;
		sleep PAUSE;
	}
}

# [number, when] of every acknowledged row until now.
sub acknowledged
{
	my ($self) = @_;

	open my $file, '<', $self->{file} or return ();
	return map { [split] } grep { /\n\z/ } <$file>;
}

# Waits until rows after the first `count` are acknowledged; true in time.
sub wait_more
{
	my ($self, $more, $timeout) = @_;
	my $have = () = $self->acknowledged;

	return $self->{cluster}->wait_until(sub {
		my $now = () = $self->acknowledged;
		return $now >= $have + $more;
	}, $timeout, "$more more rows of the ledger");
}

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} // return;

	kill TERM => $pid;
	waitpid $pid, 0;
}

# Numbers that were acknowledged and are not on the node any more.
sub lost
{
	my ($self, $node) = @_;
	# Before the rows are read: later ones are nobody's loss.
	my @acknowledged = $self->acknowledged;
	my %there = map { $_ => 1 } split ' ',
	    $self->{cluster}->psql($node, 'SELECT n FROM ledger', 20) //
	    die "could not read the ledger on $node\n";

	return grep { !$there{$_} } map { $_->[0] } @acknowledged;
}

# Seconds of the longest time without an acknowledgement.
sub outage
{
	my ($self) = @_;
	my ($longest, $last) = (0);

	for my $row ($self->acknowledged) {
		$longest = $row->[1] - $last
		    if defined $last && $row->[1] - $last > $longest;
		$last = $row->[1];
	}
	return $longest;
}

sub DESTROY { $_[0]->stop if $_[0]{pid} }

1;
