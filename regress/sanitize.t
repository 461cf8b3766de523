#!/usr/bin/perl
#
# sanitize.t - unit tests, fuzz corpora and a bounded simulation with
# AddressSanitizer and UndefinedBehaviorSanitizer.
#
# They run in BUILD/sanitize, which `make sanitize-build` makes; each is one
# run of prove there.  Any report of a sanitizer ends the program that it is
# about, so it is a failed test.

use strict;
use warnings;
use Test::More;

my $build = $ENV{FAILOVERD_BUILD} // '.';
my @stages = (
	[ 'fuzz corpora', 'replay' ],
	[ 'unit tests', 'sanitize-unit' ],
	[ 'simulation', 'sim' ],
);

# Ours, not those of a make or prove above.
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL HARNESS_ACTIVE HARNESS_VERSION
    HARNESS_OPTIONS PERL5LIB T F S)};
$ENV{ASAN_OPTIONS} = 'detect_stack_use_after_return=1:strict_string_checks=1';
$ENV{UBSAN_OPTIONS} = 'print_stacktrace=1';

BAIL_OUT("there is no $build/sanitize: make sanitize-build")
    if !-e "$build/sanitize/Makefile";
plan tests => scalar @stages;

for my $stage (@stages) {
	my ($what, $target) = @$stage;
	my $begun = time;
	my $output = '';

	my $pid = open(my $pipe, '-|') // die "could not fork: $!";
	if ($pid == 0) {
		open(STDERR, '>&', \*STDOUT);
		exec('make', '-s', '-C', "$build/sanitize",
		    'PROVEFLAGS=-j2', $target) or exit 127;
	}
	$output .= $_ while <$pipe>;
	close($pipe);
	my ($files, $tests) = $output =~ /^Files=(\d+), Tests=(\d+)/m;
	ok($? == 0 && defined $files, sprintf('%s: %s programs, %s tests, ' .
	    '%d s', $what, $files // 'no', $tests // 'no', time - $begun))
	    or diag($output);
}
