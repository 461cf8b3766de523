#!/usr/bin/perl
#
# rules.t - the manual says what the program does.
#
# Compares the tables of failover(7) with those that the program prints of
# itself (failoverd -D rules): a rule that was changed, moved or added without
# its line in the manual fails here, and so does the reverse.

use strict;
use warnings;
use Test::More;

my $build = $ENV{FAILOVERD_BUILD} || '.';
my $source = $ENV{FAILOVERD_SRC} || '.';
my $program = "$build/failoverd";

-x $program or die("there is no $program; run \"make\"\n");

# There is no configuration: -D has to do without.
$ENV{FAILOVERD_CONFIG} = '/nonexistent/failoverd.conf';

# run ARGUMENT...: exit status and output, both streams in one.
sub run
{
	my @arguments = @_;
	my $pid = open(my $pipe, '-|') // die "could not fork: $!\n";

	if ($pid == 0) {
		open STDERR, '>&', \*STDOUT or die "could not dup: $!\n";
		exec { $program } $program, @arguments
		    or die "could not run \"$program\": $!\n";
	}
	my $output = join '', <$pipe>;
	close $pipe;
	return ($? >> 8, $output);
}

# --- what the program says: table -> list of rows -------------------------

my ($status, $output) = run('-D', 'rules');
is($status, 0, 'failoverd -D rules ends with 0 and needs no configuration');

my (%table, @ragged);
my %fields = (candidate => 3, decision => 4, order => 2, step => 6,
    setting => 7, exit => 3);
for (split /\n/, $output) {
	next if /^#/;
	my ($name, @row) = split /\t/, $_, -1;

	push @ragged, $_ if ($fields{$name} // 0) != @row + 1 ||
	    grep { $_ eq '' } @row;
	push @{ $table{$name} }, \@row;
}
is_deeply([ sort keys %table ], [ sort keys %fields ],
    'it prints every table');
is_deeply(\@ragged, [], 'every row has all its fields');

($status, $output) = run('-D', 'tables');
is($status, 64, 'another topic is wrong usage');
is($output, "failoverd: there is nothing called \"tables\" to print: "
    . "run failoverd -D rules\n", '... and is told so in one line');

# --- what a manual says: section -> list of [tag, text] -------------------

sub plain
{
	my ($text) = @_;

	$text =~ s/\\\(ga/`/g;
	$text =~ s/\\-/-/g;
	$text =~ s/\\&//g;
	return $text;
}

# An item's text is what stands before the next macro.
sub items
{
	my ($path) = @_;
	my (%items, $section, $reading);

	open my $file, '<', $path or die "could not open \"$path\": $!\n";
	while (<$file>) {
		chomp;
		if (/^\.S[hs] (.*)/) {
			$section = plain($1);
			$items{$section} = [];
			$reading = 0;
		} elsif (/^\.It ?(.*)/) {
			push @{ $items{$section} }, [ plain($1), '' ];
			$reading = 1;
		} elsif (/^\./) {
			$reading = 0;
		} elsif ($reading) {
			my $item = $items{$section}[-1];

			$item->[1] .= ' ' if $item->[1] ne '';
			$item->[1] .= plain($_);
		}
	}
	close $file;
	return \%items;
}

my $manual = items("$source/src/core/failover.7");

# tags_of SECTION: the tags alone.
sub tags_of
{
	my ($section) = @_;

	return [ map { $_->[0] } @{ $manual->{$section} || [] } ];
}

# --- one against the other ------------------------------------------------

my $rules = $manual->{'WHO BECOMES PRIMARY'} || [];
my @wanted = @{ $table{candidate} };
is(scalar @$rules, scalar @wanted, 'as many candidate rules');
for my $i (0 .. $#wanted) {
	my ($number, $text) = @{ $wanted[$i] };
	my $said = $rules->[$i] ? $rules->[$i][1] : '';

	is($number, $i + 1, "candidate rule $number has its number");
	# A remark may follow.
	is(substr($said, 0, length($text) + 1), ucfirst($text) . '.',
	    "candidate rule $number");
}

is_deeply(tags_of('WHAT THE COORDINATOR DECIDES'),
    [ map { my ($number, $phases, $what) = @$_;
	$phases =~ tr/,/ /;
	"$number ($phases) $what" } @{ $table{decision} } ],
    'every row of the decision, in order');

is_deeply([ sort grep { /^Order: / } keys %$manual ],
    [ sort map { "Order: $_->[0]" } @{ $table{order} } ],
    'every order has its table');
for my $order (map { $_->[0] } @{ $table{order} }) {
	my @rows = grep { $_->[0] eq $order } @{ $table{step} };

	is_deeply($manual->{"Order: $order"}, [ map {
	    my (undef, $number, $condition, $step, $why) = @$_;
	    [ "$number $condition", $why eq '-' ? $step : "$step: $why" ]
	    } @rows ], "every step of: $order");
}

my %used = map { $_->[2] => 1 } @{ $table{step} };
is_deeply(tags_of('The conditions'), [ sort keys %used ],
    'every condition is explained, and no other');
is_deeply([ grep { $_->[1] eq '' } @{ $manual->{'The conditions'} } ], [],
    '... in words');

is_deeply(tags_of('SETTINGS'), [ map { "Ic $_->[0]" } @{ $table{setting} } ],
    'every setting, in order');
my %said = map { $_->[0] => $_->[1] } @{ $manual->{SETTINGS} };
for (@{ $table{setting} }) {
	my ($name, $default, $least, $most, $unit, $help) = @$_;
	my @values = $most eq '9223372036854775807' ?
	    ($default, $least, 'any number of') : ($default, $least, $most);
	my $text;

	@values = map { "$_ $unit" } @values if $unit ne '-';
	# Words have no range, and the help names them all.
	$text = ucfirst($help) . ": $values[0]";
	$text .= ", from $values[1] to $values[2]" if $default =~ /^\d/;
	is(substr($said{"Ic $name"} // '', 0, length($text) + 1), "$text.",
	    "setting $name");
}

my $command = items("$source/src/cli/failoverctl.1");
is_deeply([ map { $_->[0] } @{ $command->{'EXIT STATUS'} } ],
    [ map { $_->[0] } @{ $table{exit} } ],
    'failoverctl(1) has every exit status');

done_testing();
