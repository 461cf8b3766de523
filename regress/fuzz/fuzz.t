#!/usr/bin/perl
#
# fuzz.t - every libFuzzer target for a bounded time.
#
#	make fuzz			all of them, 5 seconds each
#	make fuzz F=wire S=600		one, for ten minutes, its progress shown
#
# F and S come from the environment.  Begins with regress/fuzz/corpus/NAME.
# With F, what was found stays in obj/fuzz/found/NAME and is begun with the
# next time.  An input that breaks something is kept and named.

use strict;
use warnings;
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

my $build = $ENV{FAILOVERD_BUILD} // '.';
my $source = $ENV{FAILOVERD_SRC} // '.';
my $only = $ENV{F} // '';
my $seconds = $ENV{S} || 5;

my @names = map { m{([a-z0-9]+)_fuzz\.c$} ? $1 : () }
    sort glob("$source/regress/fuzz/*_fuzz.c");
@names = grep { $_ eq $only } @names if $only ne '';
BAIL_OUT("there is no fuzz target \"$only\" in $source/regress/fuzz")
    if !@names;
plan tests => scalar @names;

my $found = $only ne '' ? "$build/obj/fuzz/found" : tempdir(CLEANUP => 1);

# Runs it; returns how it ended and its output.
sub run_target
{
	my ($name, $corpus) = @_;
	my @command = ("$build/obj/fuzz/regress/fuzz/${name}_fuzz",
	    "-max_total_time=$seconds", '-timeout=10', '-rss_limit_mb=2048',
	    '-print_final_stats=1',
	    "-artifact_prefix=$build/obj/fuzz/$name-",
	    "$found/$name", $corpus);
	my $output = '';

	make_path("$found/$name");
	my $pid = open(my $pipe, '-|') // die "could not fork: $!";
	if ($pid == 0) {
		open(STDERR, '>&', \*STDOUT);
		exec(@command) or exit 127;
	}
	while (my $line = <$pipe>) {
		print "# $line" if $only ne '';
		$output .= $line;
	}
	close($pipe);
	return ($?, $output);
}

for my $name (@names) {
	my $program = "$build/obj/fuzz/regress/fuzz/${name}_fuzz";
	my $corpus = "$source/regress/fuzz/corpus/$name";

	if (!-x $program) {
		fail("$name: not built; on Debian: apt-get install clang-14 " .
		    'libclang-rt-14-dev, then configure and make fuzz');
		next;
	}
	my @inputs = glob("$corpus/*");
	my ($status, $output) = run_target($name, $corpus);
	my ($runs) = $output =~ /number_of_executed_units: (\d+)/;
	my ($input) = $output =~ /Test unit written to (\S+)/;

	$runs //= 0;
	ok($status == 0 && @inputs > 0 && $runs > @inputs,
	    "$name: $runs inputs in $seconds s, nothing broke") or do {
		my @lines = grep { !/^#\d+\s/ } split /\n/, $output;
		my $first = @lines > 60 ? @lines - 60 : 0;

		diag(join("\n", @lines[$first .. $#lines]));
		diag("The input is $input.\nRun it: $program $input\n" .
		    "Keep it: cp $input $corpus/") if defined $input;
		diag("no corpus in $corpus: make corpus") if !@inputs;
	};
}
