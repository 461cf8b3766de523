#!/usr/bin/perl
#
# purity.t - what the core and the guard may reach.
#
# The simulator proves the core's rules only as long as the core is a function
# of its arguments: no clock, no socket, no file, no allocation, nothing
# remembered between calls.  The guard has to live through what breaks the
# agent, so it needs nothing but libc.  Both are read off the objects.

use strict;
use warnings;
use Test::More;

my $build = $ENV{FAILOVERD_BUILD} || '.';
my $archive = "$build/obj/pure/libcore.a";

# lines COMMAND...: its output; no shell, and a failure is a failure.
sub lines
{
	my @command = @_;

	open my $pipe, '-|', @command
	    or die "could not run \"$command[0]\": $!\n";
	my @lines = <$pipe>;
	close $pipe or die "\"@command\" ended with status $?\n";
	chomp @lines;
	return @lines;
}

# The symbols of libc that neither block, allocate nor remember.
my $pure = qr/^(?: mem(?!align)\w+
    | (?:__isoc\d+_)? str(?!n?dup|tok$|error|signal)\w+
    | v?snprintf
    | __assert_fail
    | __stack_chk_fail
    | _GLOBAL_OFFSET_TABLE_ )$/x;

-e $archive or die("there is no $archive; run \"make purity\"\n");

# nm -A: "archive:member.o:[value] TYPE NAME"
my (%defined, %wanted, %remembered);
for (lines('nm', '-A', $archive)) {
	my ($member, $type, $name) = /:([^:]+):[0-9a-f ]* (\w) (\S+)$/ or next;

	if ($type =~ /^[Uwv]$/) {
		$wanted{$name}{$member} = 1;
	} else {
		# Local symbols (lower case) resolve nothing elsewhere.
		$defined{$name} = 1 if $type =~ /^[A-Zu]$/;
		$remembered{"$name ($member)"} = 1 if $type =~ /^[bBdDCsSgGu]$/;
	}
}

my @foreign = map { "$_ (" . join(' ', sort keys %{ $wanted{$_} }) . ')' }
    grep { !$defined{$_} && !/$pure/ } sort keys %wanted;

cmp_ok(scalar keys %defined, '>', 0, 'the archive of the core has functions');
is_deeply(\@foreign, [], 'the core calls nothing but memory and strings');
is_deeply([ sort keys %remembered ], [], 'the core has no writable variable');

my $guard = "$build/failover-guard";
-x $guard or die("there is no $guard; run \"make\"\n");
my @needed = grep { !/^(?:libc|ld-linux[\w-]*|lib(?:a|ub|t)san)\.so/ }
    map { /\(NEEDED\).*\[(.*)\]/ ? $1 : () }
    lines('readelf', '-d', $guard);
is_deeply(\@needed, [], 'failover-guard needs libc and nothing else');

done_testing();
