# Node.pm - one node of a test cluster: its places and its faults.
#
# Each fault is a word of its own, because their outcomes differ: kill9 ends
# processes, freeze stops them where they are, thaw lets them go on.

package Node;

use strict;
use warnings;

sub new
{
	my ($class, $cluster, $name, $ports) = @_;

	return bless { cluster => $cluster, name => $name, %$ports }, $class;
}

sub name { return $_[0]{name} }
sub dir { return "$_[0]{cluster}{dir}/$_[0]{name}" }
sub data_dir { return $_[0]->dir . '/data' }
sub run_dir { return $_[0]->dir . '/run' }
sub state_dir { return $_[0]->dir . '/state' }
sub conf { return $_[0]->dir . '/failoverd.conf' }
sub pg_port { return $_[0]{pg_port} }
sub ssh_port { return $_[0]{ssh_port} }

sub ssh_target
{
	my ($self) = @_;

	return "$self->{cluster}{user}\@127.0.0.1:$self->{ssh_port}";
}

# What this host would be given to become a standby, without the host.
sub place
{
	my ($self) = @_;
	my %conf = (
		listen => "127.0.0.1:$self->{agent_port}",
		http => "127.0.0.1:$self->{http_port}",
		state_dir => $self->state_dir,
		run_dir => $self->run_dir,
		known_hosts => "$self->{cluster}{dir}/known_hosts",
		'postgresql.listen_addresses' => '127.0.0.1',
		'postgresql.socket_dir' => $self->run_dir,
		'postgresql.user' => $self->{cluster}{user},
	);

	return ('--advertise', "127.0.0.1:$self->{agent_port}",
	    '--pg-advertise', "127.0.0.1:$self->{pg_port}",
	    map { ('--conf', "$_=$conf{$_}") } sort keys %conf);
}

# failoverctl through this node's agent, whatever state it is in.
sub ctl
{
	my ($self, @args) = @_;

	return $self->{cluster}->run({}, $self->{cluster}->failoverctl,
	    '-c', $self->conf, @args);
}

# One value, or rows of "a|b"; undef when there is no answer in time.
sub psql
{
	my ($self, $sql, $timeout) = @_;

	return $self->{cluster}->psql($self->{name}, $sql, $timeout);
}

# postmaster, agent or host
sub kill9
{
	my ($self, $what) = @_;

	return $self->{cluster}->sandbox_ok('kill', $self->{name}, $what);
}

sub start
{
	my ($self) = @_;

	return $self->{cluster}->sandbox_ok('start', $self->{name});
}

# All of the node's, or postmaster, agent, guard, sshd.
sub pids
{
	my ($self, @what) = @_;

	return split ' ', $self->{cluster}->sandbox_ok('pids', $self->{name},
	    @what);
}

sub freeze
{
	my ($self, @what) = @_;
	my @pids = $self->pids(@what);

	die "$self->{name}: nothing to freeze\n" if !@pids;
	push @{$self->{frozen}}, @pids;
	return kill STOP => @pids;
}

sub thaw
{
	my ($self) = @_;

	return kill CONT => splice @{$self->{frozen} // []};
}

# Is there a postmaster, and does it answer, and as what?
sub is_running { return scalar $_[0]->pids('postmaster') }
sub in_recovery { return ($_[0]->psql('SELECT pg_is_in_recovery()') // '') }

# Its line of `status`, or undef.
sub status
{
	my ($self, $status) = @_;

	$status //= $self->{cluster}->status // return undef;
	my ($line) = grep { $_->{name} eq $self->{name} } @{$status->{nodes}};
	return $line;
}

1;
