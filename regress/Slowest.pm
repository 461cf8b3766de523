# Slowest.pm - prove's own formatter, with the ten slowest tests printed before
# its closing lines, which stay the last.
#
#   PERL5LIB=regress prove --formatter Slowest ...

package Slowest;

use strict;
use warnings;
use TAP::Formatter::Console;
use TAP::Formatter::File;

# The one that prove would take: nothing is overwritten in a log file.
our @ISA = -t STDOUT ? 'TAP::Formatter::Console' : 'TAP::Formatter::File';

use constant SHOWN => 10;

sub summary
{
	my ($self, $aggregate, @rest) = @_;
	my %seconds;

	for my $test ($aggregate->descriptions) {
		my ($parser) = $aggregate->parsers($test);
		$seconds{$test} = $parser->end_time - $parser->start_time;
	}
	my @slowest = sort { $seconds{$b} <=> $seconds{$a} || $a cmp $b }
	    keys %seconds;
	splice @slowest, SHOWN if @slowest > SHOWN;

	$self->_output("Slowest:\n");
	$self->_output(sprintf "%9.2f s  %s\n", $seconds{$_}, $_)
	    for @slowest;
	return $self->SUPER::summary($aggregate, @rest);
}

1;
