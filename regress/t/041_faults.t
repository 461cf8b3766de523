# 041: faults that leave something alive: the primary's agent is killed and
# nobody restarts it; its PostgreSQL hangs; an agent loses its state.  Another
# node takes over where it must, and nothing acknowledged is lost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use FailoverdTest;

# Another primary, which takes writes, with every acknowledged row.
sub
taken_over
{
	my ($t, $ledger, $before, $seconds) = @_;
	my $status = $t->wait_status(sub {
		return !$_[0]{stale} && defined $_[0]{primary} &&
		    $_[0]{primary} ne $before->{primary} &&
		    $_[0]{epoch} > $before->{epoch};
	}, $seconds, 'another primary');

	ok($status, 'another node is primary') or return;
	ok($ledger->wait_more(20, 60), 'the client writes again');
	diag(sprintf '%.2f s without a commit', $ledger->outage);
	is_deeply([ $ledger->lost($status->{primary}) ], [],
	    'no acknowledged row is lost');
	return $status;
}

# Every process of its PostgreSQL; the kill must not need their help.
sub
freeze_all
{
	my ($node) = @_;
	my ($postmaster) = $node->pids('postmaster');
	my @pids = $postmaster;

	for my $stat (glob '/proc/[0-9]*/stat') {
		open my $f, '<', $stat or next;
		my $line = <$f> // next;
		push @pids, $line =~ /^(\d+)/
		    if $line =~ /\) \S (\d+) / && $1 == $postmaster;
	}
	kill STOP => @pids;
}

my %settings = (detect => '500ms', lease => '2s', hang => '2s',
    sync_join => '1s');

subtest 'the agent of the primary killed, not restarted' => sub {
	my $t = FailoverdTest->new(nodes => 3, settings => \%settings)->up;
	my $ledger = $t->ledger;
	my $before = $t->wait_healthy or die "not healthy\n";
	my $old = $t->node($before->{primary});

	$old->kill9('agent');
	ok($t->wait_until(sub { !$old->is_running }, 20,
	    'the guard to end PostgreSQL'), 'its guard ends PostgreSQL');
	taken_over($t, $ledger, $before, 30) or return;
	ok(!$old->is_running, 'the old one stays down');
	$old->start;
	ok($t->wait_healthy, 'its agent is back: healthy');
	is($old->psql('SELECT pg_is_in_recovery()'), 't', 'as a standby');
	$ledger->stop;
	is_deeply([ $ledger->lost($t->primary) ], [],
	    'no acknowledged row is lost');
};

subtest 'PostgreSQL of the primary hangs' => sub {
	my $t = FailoverdTest->new(nodes => 3, settings => \%settings)->up;
	my $ledger = $t->ledger;
	my $before = $t->wait_healthy or die "not healthy\n";
	my $old = $t->node($before->{primary});

	freeze_all($old);
	taken_over($t, $ledger, $before, 40) or return;
	ok($t->wait_healthy, 'the old one is a standby again');
	isnt($old->psql('SELECT pg_is_in_recovery()'), 'f',
	    'it is not read-write');
	$ledger->stop;
	is_deeply([ $ledger->lost($t->primary) ], [],
	    'no acknowledged row is lost');
};

subtest 'an agent loses its state' => sub {
	my $t = FailoverdTest->new(nodes => 3, settings => \%settings)->up;
	my $ledger = $t->ledger;
	my $before = $t->wait_healthy or die "not healthy\n";
	my ($standby) = map { $t->node($_->{name}) }
	    grep { $_->{role} eq 'standby' } @{$before->{nodes}};
	my $incarnation = $standby->status($before)->{incarnation};

	subtest 'a standby: one byte of its state changed' => sub {
		$standby->kill9('agent');
		my ($file) = glob $standby->state_dir . '/state.*';
		open my $f, '+<', $file or die "$file: $!";
		seek $f, -40, 2;
		read $f, my $byte, 1;
		seek $f, -40, 2;
		print $f chr(ord($byte) ^ 1);
		close $f or die;
		$standby->start;
		my $status = $t->wait_status(sub {
			my $line = $standby->status($_[0]);
			return $line->{incarnation} != $incarnation &&
			    $line->{state} eq 'streaming';
		}, 30, 'a new incarnation');
		ok($status, 'it comes back under a new incarnation');
		is($status->{primary}, $before->{primary}, 'same primary');
		ok($t->wait_healthy, 'healthy, all vote');
	};
	subtest 'the primary: its state removed' => sub {
		my $old = $t->node($before->{primary});

		$old->kill9('agent');
		unlink glob $old->state_dir . '/state.*';
		$old->start;
		# With the most WAL of all it may well be chosen again.
		my $status = $t->wait_status(sub {
			return !$_[0]{stale} && defined $_[0]{primary} &&
			    $_[0]{epoch} > $before->{epoch};
		}, 40, 'another epoch');
		ok($status, 'a primary of another epoch') or return;
		ok($ledger->wait_more(20, 60), 'the client writes again');
		ok($t->wait_healthy, 'healthy, all vote');
		my @writable = grep { ($t->node($_)->psql(
		    'SELECT pg_is_in_recovery()') // '') eq 'f' }
		    map { $_->{name} } @{$before->{nodes}};
		is_deeply(\@writable, [ $t->primary ],
		    'one node is read-write, the primary');
		isnt($old->status($t->agreed)->{incarnation},
		    $old->status($before)->{incarnation},
		    'the old primary is another incarnation');
	};
	$ledger->stop;
	is_deeply([ $ledger->lost($t->primary) ], [],
	    'no acknowledged row is lost');
};

done_testing;
