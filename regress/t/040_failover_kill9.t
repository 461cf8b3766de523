# 040: kill -9 of what runs the primary, and of what runs the coordinator.
# Without a human hand a standby takes over, nothing acknowledged is lost, and
# the deposed one never comes back read-write.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use FailoverdTest qw(one_line);

# Looks at a deposed node; what it must never be is read-write.
sub
look_at_deposed
{
	my ($node, $found) = @_;
	my $answer = $node->psql('SELECT pg_is_in_recovery()', 3) // 'silent';

	$found->{$answer}++;
	return $answer;
}

# take_over(CLUSTER, LEDGER, WHAT): kills WHAT of the primary, and all that
# has to follow.  Returns the deposed node.
sub
take_over
{
	my ($t, $ledger, $what) = @_;
	my $before = $t->wait_healthy or die "not healthy\n";
	my $old = $t->node($before->{primary});
	my %found;

	note($t->sandbox_ok('kill', 'primary', $what));
	my $status = $t->wait_status(sub {
		look_at_deposed($old, \%found);
		return defined $_[0]{primary} &&
		    $_[0]{primary} ne $old->name;
	}, 60, 'another primary');
	ok($status, 'another node is primary') or return $old;
	my $new = $t->node($status->{primary});
	my ($third) = map { $t->node($_->{name}) }
	    grep { $_->{name} ne $old->name && $_->{name} ne $new->name }
	    @{$status->{nodes}};
	note('from ' . $old->name . ' to ' . $new->name);

	is($status->{epoch}, $before->{epoch} + 1, 'one epoch later');
	ok($ledger->wait_more(20, 60), 'the client writes again');
	ok(defined $t->psql($new->name, 'CREATE TABLE after_' . $what
	    . ' AS SELECT 1 AS n', 20), 'the new primary takes a statement');
	ok($t->wait_status(sub {
		my $line = $third->status($_[0]);
		return $line->{state} eq 'streaming' &&
		    ($line->{upstream} // '') eq $new->name;
	}, 30, $third->name . ' streaming from ' . $new->name),
	    'the third node follows');
	is($third->psql('SELECT n FROM after_' . $what) //
	    $t->wait_until(sub { $third->psql('SELECT n FROM after_' . $what)
	    }, 10, 'the table on ' . $third->name), '1', 'it gets new rows');
	is_deeply([ $ledger->lost($new->name) ], [],
	    'no acknowledged row is lost');
	diag(sprintf '%s of the primary killed: %.2f s without a commit',
	    $what, $ledger->outage);

	my $explain = $t->ctl_json('explain');
	my $last = ($explain->{data} // {})->{last};
	ok($last && @{$last->{trace} // []}, 'explain has a trace')
	    or diag(explain($explain));
	my $name = $new->name;
	ok(scalar(grep { /\b\Q$name\E\b/ } $last->{what} // '',
	    @{$last->{trace} // []}), '... which names the chosen node');
	my ($exit, $out) = $t->ctl('explain');
	is($exit, 0, 'explain, for people');
	like($out, qr/\b\Q$name\E\b/, '... names it too');

	look_at_deposed($old, \%found);
	is($found{f}, undef, 'the old primary was never read-write again')
	    or diag(explain(\%found));
	return $old;
}

# The deposed node is up again: it ends as a standby, or it does not run and
# status has a reason; all the while it must not be read-write.
sub
ends_deposed
{
	my ($t, $old) = @_;
	my $primary = $t->primary;
	my (%found, $answer);

	my $status = $t->wait_status(sub {
		$answer = look_at_deposed($old, \%found);
		my $line = $old->status($_[0]);
		return 0 if !$line->{reachable};
		return 1 if $line->{state} eq 'streaming';
		return $line->{state} =~ /^(?:stopped|fenced|failed)$/ &&
		    ($line->{message} // '') ne '';
	}, 60, $old->name . ' as standby, or stopped with a reason');
	ok($status, 'it is a standby, or status says why not');
	note($old->name . ": $answer, ", explain($old->status($status)));
	isnt(look_at_deposed($old, \%found), 'f', 'it is not read-write');
	is($found{f}, undef, 'and was not at any time')
	    or diag(explain(\%found));
	is($t->primary, $primary, 'the new primary stays');
}

subtest 'the coordinator, then the postmaster' => sub {
	my $t = FailoverdTest->new(nodes => 3)->up;
	my $ledger = $t->ledger;

	subtest 'kill -9 of the coordinator' => sub {
		my $before = $t->wait_status(sub {
			return $_[0]{health} eq 'healthy' &&
			    defined $_[0]{coordinator} &&
			    $_[0]{coordinator} ne $_[0]{primary};
		}, 60, 'a coordinator beside the primary')
		    or die "no coordinator beside the primary\n";
		my $started = $t->psql('primary',
		    'SELECT pg_postmaster_start_time()');

		note($t->sandbox_ok('kill', 'coordinator', 'agent'));
		my $status = $t->wait_status(sub {
			return defined $_[0]{coordinator} &&
			    $_[0]{coordinator} ne $before->{coordinator};
		}, 30, 'another coordinator');
		ok($status, 'another coordinator') or return;
		ok($ledger->wait_more(20, 20), 'the client goes on');
		is($status->{primary}, $before->{primary}, 'same primary');
		is($status->{epoch}, $before->{epoch}, 'same epoch');
		is($t->psql('primary',
		    'SELECT timeline_id FROM pg_control_checkpoint()'), '1',
		    'same timeline');
		is($t->psql('primary', 'SELECT pg_postmaster_start_time()'),
		    $started, 'not even restarted');
		$t->start($before->{coordinator});
		ok($t->wait_healthy, 'its agent is back: healthy');
	};
	subtest 'kill -9 of the postmaster' => sub {
		my $old = take_over($t, $ledger, 'postmaster');
		ends_deposed($t, $old);
	};
	$ledger->stop;
};

subtest 'kill -9 of the whole host' => sub {
	my $t = FailoverdTest->new(nodes => 3)->up;
	my $ledger = $t->ledger;
	my $old = take_over($t, $ledger, 'host');

	$old->start;
	ends_deposed($t, $old);
	ok($ledger->wait_more(20, 20), 'the client goes on');
	$ledger->stop;
	is_deeply([ $ledger->lost($t->primary) ], [],
	    'no acknowledged row is lost');
};

done_testing;
