# 030: promote on a healthy cluster is a switchover: nothing is lost, and the
# old primary becomes a standby by itself, with the data it has.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use FailoverdTest qw(one_line);

my $t = FailoverdTest->new(nodes => 3)->up;
my %node = map { $_ => $t->node($_) } qw(n1 n2 n3);
my $before = $t->wait_healthy or die "not healthy\n";
is($before->{primary}, 'n1', 'n1 is the primary');

# A file that no base backup of another node would bring.
my $mark = $node{n1}->data_dir . '/made_on_n1';
open my $file, '>', $mark or die "$mark: $!";
close $file;

my $ledger = $t->ledger;
ok($ledger->wait_more(20, 30), 'a client writes');

# What a change of primary would change.
sub
reign
{
	# A new coordinator has to hear of every node first.
	my $status = $t->wait_status(sub {
		return !grep { !defined $_->{timeline} } @{$_[0]{nodes}};
	}, 20, 'a word of every node') // return 'none';

	return join ' ', $status->{primary} // '-', $status->{epoch},
	    map { "$_->{name}:$_->{role}:" . ($_->{timeline} // '?') }
	    @{$status->{nodes}};
}

my $reign = reign();
subtest 'refused' => sub {
	my @tries = (
		[ 'a node that is none', 3, qr/n9/, 'promote', 'n9',
		    '--yes' ],
		[ 'the primary itself', 3, qr/n1.*primary/, 'promote', 'n1',
		    '--yes' ],
		[ 'a switchover to the primary', 3, qr/n1.*primary/,
		    'switchover', 'n1', '--yes' ],
		[ 'failover while the primary is well', 3, qr/switchover/,
		    'failover', 'n2', '--yes' ],
		[ 'nobody to ask', 64, qr/--yes/, 'promote', 'n2' ],
	);
	for my $try (@tries) {
		my ($what, $wanted, $pattern, @args) = @$try;
		my ($exit, $out, $err) = $t->ctl(@args);
		is($exit, $wanted, $what) or diag($out, $err);
		my @errors = grep { /^failoverctl: / } split /\n/, $err;
		is(scalar @errors, 1, '... in one line') or diag($err);
		like($err, $pattern, '... with the reason');
	}
	is(reign(), $reign, 'nothing has changed');
};

subtest 'dry run' => sub {
	my ($exit, $out, $err) = $t->ctl('promote', 'n2', '--dry-run');
	is($exit, 0, 'it would work') or diag($out, $err);
	like($out, qr/switchover/, 'it says which of the two it would be');
	like($out, qr/n2/, 'and who would be primary');
	is(reign(), $reign, 'nothing has changed');
	ok($ledger->wait_more(5, 10), 'the client goes on');
};

# move(FROM, TO, ARGS...): the whole of a switchover.
sub
move
{
	my ($from, $to, @args) = @_;
	my $epoch = $t->status->{epoch};
	my $incarnation = $node{$from}->status->{incarnation};
	my ($third) = grep { $_ ne $from && $_ ne $to } sort keys %node;

	my ($exit, $out, $err) = $t->ctl(@args);
	is($exit, 0, "@args") or diag($out, $err);
	ok($ledger->wait_more(20, 60), 'the client writes again');

	my $status = $t->wait_status(sub {
		my %line = map { $_->{name} => $_ } @{$_[0]{nodes}};
		return ($_[0]{primary} // '') eq $to &&
		    $_[0]{health} eq 'healthy' &&
		    2 == grep { $_->{state} eq 'streaming' &&
		    ($_->{upstream} // '') eq $to } @line{$from, $third};
	}, 60, "$from and $third streaming from $to");
	ok($status, "$from and $third follow $to") or return;
	is($status->{epoch}, $epoch + 1, 'one epoch later');
	is($node{$from}->status($status)->{incarnation}, $incarnation,
	    "$from kept its data");
	is($node{$to}->in_recovery, 'f', "$to is read-write");
	is($node{$from}->in_recovery, 't', "$from is a standby");
	is($node{$third}->in_recovery, 't', "$third is a standby");
}

subtest 'promote n2' => sub { move('n1', 'n2', 'promote', 'n2', '--yes') };
ok(-e $mark, 'n1 was not cloned again');
diag(sprintf 'longest time without a commit: %.2f s', $ledger->outage);
subtest 'and back' => sub { move('n2', 'n1', 'switchover', 'n1', '--yes') };

$ledger->stop;
is_deeply([ $ledger->lost('n1') ], [], 'no acknowledged row is lost');
my $rows = $node{n1}->psql('SELECT count(*) FROM ledger');
for my $name (qw(n2 n3)) {
	ok($t->wait_until(sub {
		($node{$name}->psql('SELECT count(*) FROM ledger') // '') eq
		    $rows
	}, 20, "all rows on $name"), "$name has them too");
}

done_testing;
