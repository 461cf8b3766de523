# 080: who may talk to an agent.  A stranger gets no byte after the handshake;
# one whose certificate is the cluster's, but who is no member, gets the
# reason and nothing else; a removed member is no member any more.
#
# In TLS 1.3 a client's handshake is done before the server has judged its
# certificate, so what counts here are the bytes that came after it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use POSIX qw(mkfifo);
use Socket qw(SHUT_WR);
use Test::More;

use FailoverdTest qw(slurp tree);

use constant { HELLO => 1, REFUSED => 2 };	# frames, see wire.h

# At level debug a line is there although the same one was logged just before,
# and what may not be logged may not be logged there either.
my $hello = ($ENV{FAILOVERD_BUILD} // '.') . '/obj/regress/t/peer_hello';
my $t = FailoverdTest->new(nodes => 3, conf => { log_level => 'debug' })->up;
my ($n1, $n2, $n3) = map { $t->node($_) } qw(n1 n2 n3);
my $healthy = $t->wait_status(sub {
	$_[0]{health} eq 'healthy' && $_[0]{quorum}{voters} == 3 &&
	    ($_[0]{coordinator} // '') ne 'n1';
}, 60, 'three voters, the coordinator beside the primary')
    or die "not healthy\n";

# --- Certificates ---------------------------------------------------------

sub
openssl
{
	my (@args) = @_;
	my ($exit, $out, $err) = $t->run({}, 'openssl', @args);

	die "openssl @args: $err" if $exit != 0;
	return $out;
}

sub
write_file
{
	my ($path, $text) = @_;

	open my $file, '>:raw', $path or die "$path: $!";
	print $file $text;
	close $file or die "$path: $!";
	return $path;
}

# A CA of somebody else.
sub
make_ca
{
	my ($name, $subject) = @_;
	my $base = $t->scratch($name);

	openssl(qw(req -x509 -newkey ed25519 -nodes -days 3 -keyout),
	    "$base.key", '-out', "$base.crt", '-subj', "/CN=$subject");
	return $base;
}

# make_node(CA, NAME, AS): key and certificate as failoverd makes them.
sub
make_node
{
	my ($ca, $name, $as) = @_;
	my $base = $t->scratch($as);
	my $extensions = write_file("$base.ext", "basicConstraints=critical,"
	    . "CA:FALSE\nkeyUsage=critical,digitalSignature\n"
	    . "extendedKeyUsage=serverAuth,clientAuth\n"
	    . "subjectAltName=DNS:$name\n");

	openssl(qw(req -new -newkey ed25519 -nodes -keyout), "$base.key",
	    '-out', "$base.csr", '-subj', "/CN=$name");
	openssl(qw(x509 -req -days 3 -in), "$base.csr", '-CA', "$ca->[0]",
	    '-CAkey', "$ca->[1]", '-set_serial', 1 + int rand 2**30,
	    '-extfile', $extensions, '-out', "$base.crt");
	return ('-cert', "$base.crt", '-key', "$base.key");
}

# What a member has.
sub
own
{
	my ($node) = @_;

	return ('-cert', $node->state_dir . '/tls/node.crt', '-key',
	    $node->state_dir . '/tls/node.key');
}

my $ours = [ $n1->state_dir . '/tls/ca.crt',
    $n1->state_dir . '/secrets/ca.key' ];
my $foreign = make_ca('foreign', 'failoverd CA sandbox');
$foreign = [ "$foreign.crt", "$foreign.key" ];
my $forger = make_ca('forger', "x\n2026-01-01 00:00:00.000 n1 [1] ERROR "
    . "forged: line");
$forger = [ "$forger.crt", "$forger.key" ];

# --- Talking to agents ----------------------------------------------------

# A HELLO of a node that says that it is no member yet, as a frame.
sub
hello
{
	my ($node, $cluster) = @_;
	my ($exit, $frame) = $t->run({}, $hello, $node, $cluster // 'sandbox');

	die "$hello: exit $exit\n" if $exit != 0;
	return $frame;
}

# The frames in what was received: [type, payload]; dies at half a frame.
sub
frames
{
	my ($bytes) = @_;
	my @frames;

	while ($bytes ne '') {
		my ($length, $type) = unpack 'N C', $bytes;
		die 'half a frame: ' . unpack('H*', $bytes) . "\n"
		    if !defined $type || length $bytes < 4 + $length;
		push @frames, [ $type, substr $bytes, 5, $length - 1 ];
		$bytes = substr $bytes, 4 + $length;
	}
	return @frames;
}

my $serial = 0;

# call(NODE, BYTES, OPTIONS...): says BYTES inside TLS and listens until the
# agent ends it.  Returns what came after the handshake, and what the client
# thought of it.
sub
call
{
	my ($node, $bytes, @options) = @_;
	my $say = write_file($t->scratch('say-' . ++$serial), $bytes);
	my ($exit, $out, $err) = $t->run({ timeout => 20, stdin => $say },
	    qw(openssl s_client -brief -quiet -connect),
	    "127.0.0.1:$node->{agent_port}", @options);

	isnt($exit, 124, 'the agent ends the connection');
	return ($out, $err);
}

sub log_of { return slurp($_[0]->state_dir . '/failoverd.log') }

# Everything that nobody outside may learn, to be looked for.
sub
secrets
{
	my %secret;

	for my $node ($n1, $n2, $n3) {
		my $name = $node->name;
		my $password = slurp($node->state_dir .
		    '/secrets/replication_password');
		chomp $password;
		$secret{"password on $name"} = $password
		    if length $password >= 32;
		for my $file (glob($node->state_dir . '/secrets/*key'),
		    $node->state_dir . '/tls/node.key') {
			$secret{$file} = $1 if slurp($file) =~
			    /PRIVATE KEY-----\n(\S{40,})/;
		}
	}
	return %secret;
}

my %secret = secrets();
ok(scalar(grep { /password/ } keys %secret) && 7 < keys %secret,
    'there are secrets to look for') or diag(explain([ sort keys %secret ]));

my $cluster_id;		# learned below, by a member

sub
leaks
{
	my ($bytes) = @_;
	my @found = grep { index($bytes, $secret{$_}) >= 0 } keys %secret;

	push @found, 'the cluster id' if index($bytes, $cluster_id) >= 0 ||
	    index(lc $bytes, unpack 'H*', $cluster_id) >= 0;
	return @found;
}

# --- A member, so that the rest means something ---------------------------

# n3's agent is away; this is its certificate, its key, its name.
note($t->sandbox_ok('kill', 'n3', 'agent'));
subtest 'a member gets a HELLO' => sub {
	my $say = write_file($t->scratch('say-member'), hello('n3'));
	my (undef, $bytes) = $t->run({ timeout => 3, stdin => $say },
	    qw(openssl s_client -brief -quiet -connect),
	    "127.0.0.1:$n1->{agent_port}", own($n3));
	my $heard = write_file($t->scratch('heard'), $bytes);
	my ($exit, $out) = $t->run({ stdin => $heard }, $hello);
	is($exit, 0, 'a HELLO is the first frame') or
	    return diag(unpack 'H*', $bytes);
	my ($node, $cluster, $id) = $out =~ /^(\S+) (\S+) ([0-9a-f]{32})$/;
	is($node, 'n1', 'of that node');
	is($cluster, 'sandbox', 'and cluster');
	isnt($id, '0' x 32, 'with the cluster id');
	$cluster_id = pack 'H*', $id;
};
die "without a cluster id nothing can be looked for\n"
    if length($cluster_id // '') != 16;
subtest 'and only with TLS 1.3' => sub {
	my ($bytes, $err) = call($n1, hello('n3'), '-tls1_2', own($n3));
	is($bytes, '', 'no byte');
	unlike($err, qr/CONNECTION ESTABLISHED/, 'not even a handshake');
};
subtest 'and only as itself' => sub {
	my ($bytes) = call($n1, hello('n2'), own($n3));
	is_deeply([ map { $_->[0] } frames($bytes) ], [ REFUSED ],
	    'another name in its HELLO: refused');
	like(log_of($n1), qr/calls itself "n2".*certificate.*"n3"/,
	    'and logged');
};
$t->start('n3');
$healthy = $t->wait_healthy or die "not healthy\n";

my $ledger = $t->ledger;
my %log_before = map { $_->name => length log_of($_) } $n1, $n2, $n3;
my %agent = map { $_->name => join ' ', $_->pids('agent') } $n1, $n2, $n3;

# --- Strangers ------------------------------------------------------------

# stranger(WHAT, NODE, PATTERN, BYTES, OPTIONS...): no byte comes back.
sub
stranger
{
	my ($what, $node, $pattern, $said, @options) = @_;

	subtest "$what, at " . $node->name => sub {
		my $before = length log_of($node);
		my ($bytes, $err) = call($node, $said, @options);
		is(unpack('H*', $bytes), '', 'not a byte after the handshake')
		    or diag($err);
		ok($t->wait_until(sub {
			substr(log_of($node), $before) =~ $pattern
		}, 5, "$pattern in the log"), 'the log says why');
	};
}

# refused(WHAT, NODE, PATTERN, BYTES, OPTIONS...): it is the cluster's CA that
# has signed, so the reason comes back, and that is all.
sub
refused
{
	my ($what, $node, $pattern, $said, @options) = @_;

	subtest "$what, at " . $node->name => sub {
		my $before = length log_of($node);
		my ($bytes, $err) = call($node, $said, @options);
		my @frames = frames($bytes);
		is_deeply([ map { $_->[0] } @frames ], [ REFUSED ],
		    'the refusal is the only frame') or diag($err);
		my $reason = @frames ? $frames[0][1] : '';
		like($reason =~ tr/ -~//cdr, $pattern, 'it has the reason');
		is_deeply([ leaks($bytes) ], [], 'and nothing else');
		ok($t->wait_until(sub {
			substr(log_of($node), $before) =~ $pattern
		}, 5, "$pattern in the log"), 'the log says it too');
	};
}

my @foreign = make_node($foreign, 'n2', 'foreign-n2');
my @outsider = make_node($ours, 'n9', 'outsider');
my @impostor = make_node($ours, 'n2', 'impostor');
my @forged = make_node($forger, 'n2', 'forged');

for my $node ($n1, $n2) {
	my $other = $node->name eq 'n1' ? 'n2' : 'n3';
	my @wrong_key = $other eq 'n2' ? @impostor :
	    make_node($ours, $other, "impostor-$other");

	stranger('a certificate of another CA', $node,
	    qr/peer: could not set up.*(?:not signed by|another CA|issuer)/i,
	    hello($other), @foreign);
	stranger('the same, with the chain', $node,
	    qr/peer: could not set up/, hello($other), @foreign,
	    '-cert_chain', $foreign->[0]);
	stranger('no certificate', $node, qr/peer: .*sent no certificate/,
	    hello($other));
	stranger('TLS 1.2', $node, qr/peer: .*(?:TLS 1\.[23]|version)/i,
	    hello($other), '-tls1_2', own($n3));
	refused('a name that is no member', $node,
	    qr/"n9" is not a member/, hello('n9'), @outsider);
	refused("a member's name and another key", $node,
	    qr/key of "$other" is not the one pinned/, hello($other),
	    @wrong_key);
	refused('a frame before the HELLO', $node,
	    qr/first frame is not a hello/i,
	    pack('N C a*', 4, 3, 'abc'), @outsider);
	refused('another cluster', $node,
	    qr/belongs to cluster "sales"/, hello('n9', 'sales'), @outsider);
}

subtest 'a certificate that wants to write into the log' => sub {
	my $before = length log_of($n1);
	my ($bytes) = call($n1, hello('n2'), @forged);
	is($bytes, '', 'not a byte');
	ok($t->wait_until(sub {
		substr(log_of($n1), $before) =~ /could not set up/
	}, 5, 'the line in the log'), 'one line in the log');
	unlike(log_of($n1), qr/^2026-01-01 00:00:00/m, 'and no other');
};

subtest 'a name is not enough to be told anything' => sub {
	my ($bytes) = call($n1, '', @outsider);
	is_deeply([ grep { $_->[0] != REFUSED } frames($bytes) ], [],
	    'who says nothing hears nothing');
	like(log_of($n1), qr/did not introduce itself in time/,
	    'the log says why');
};

# plain(WHAT, BYTES, MOST, PATTERN): who never finishes a handshake gets MOST
# bytes: none, or an alert.
sub
plain
{
	my ($what, $said, $most, $pattern) = @_;

	subtest $what => sub {
		my $before = length log_of($n1);
		my $socket = IO::Socket::INET->new(
		    PeerAddr => "127.0.0.1:$n1->{agent_port}") or
		    die "could not connect: $!\n";
		my $bytes = '';
		local $SIG{ALRM} = sub { die "the agent does not close\n" };
		local $SIG{PIPE} = 'IGNORE';
		alarm 20;
		syswrite $socket, $said;
		shutdown $socket, SHUT_WR;
		1 while sysread $socket, $bytes, 4096, length $bytes;
		alarm 0;
		cmp_ok(length $bytes, '<=', $most, "$most bytes at most")
		    or diag(unpack 'H*', $bytes);
		like($bytes, qr/\A(?:\x15\x03.\0\x02..)?\z/s,
		    'and they are an alert') if $most > 0;
		ok($t->wait_until(sub {
			substr(log_of($n1), $before) =~ $pattern
		}, 5, "$pattern in the log"), 'the log says why');
	};
}

plain('plain text', "GET / HTTP/1.0\r\n\r\n", 0, qr/peer: .*is not TLS/);
plain('a PostgreSQL client', pack('N N', 8, 80877103), 0,
    qr/peer: .*is not TLS/);
plain('half a greeting', "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0,
    qr/peer: could not set up .*closed the connection/);
plain('a record of nonsense', "\x16\x03\x01\x00\x20" . "\xff" x 32, 7,
    qr/peer: could not set up .*TLS error/);

subtest 'many who say nothing' => sub {
	my @sockets = map { IO::Socket::INET->new(PeerAddr =>
	    "127.0.0.1:$n1->{agent_port}") } 1 .. 200;
	is(scalar(grep { defined } @sockets), 200, '200 connections');
	ok($ledger->wait_more(20, 20), 'the client goes on');
	my ($bytes) = call($n1, hello('n9'), @outsider);
	is_deeply([ map { $_->[0] } frames($bytes) ], [ REFUSED ],
	    'who introduces itself is still answered');
};

# --- A stranger at the address of a member --------------------------------

# The next member that calls n3 finds this one there.  What it says is the
# output; a pipe without an end keeps s_server from leaving first.
sub
pose_as_n3
{
	my ($said, @options) = @_;
	my $pipe = $t->scratch('say-' . ++$serial);

	mkfifo($pipe, 0600) or die "$pipe: $!";
	open my $say, '+<:raw', $pipe or die "$pipe: $!";
	syswrite $say, $said;
	my ($exit, $out, $err) = $t->run({ timeout => 30, stdin => $pipe },
	    qw(openssl s_server -brief -quiet -tls1_3 -naccept 1 -Verify 2
	    -CAfile), $ours->[0], '-accept', "127.0.0.1:$n3->{agent_port}",
	    @options);

	isnt($exit, 124, 'it was called, and left alone');
	return ($out, $err);
}

# One of the two has called.
sub
callers_logged
{
	my ($pattern, $before) = @_;

	return $t->wait_until(sub {
		grep { substr(log_of($_), $before->{$_->name}) =~ $pattern }
		    $n1, $n2
	}, 10, "$pattern in a log");
}

note($t->sandbox_ok('kill', 'n3', 'agent'));
subtest 'another CA, at the address of n3' => sub {
	my %before = map { $_->name => length log_of($_) } $n1, $n2;
	my ($bytes) = pose_as_n3(hello('n3'),
	    make_node($foreign, 'n3', 'foreign-n3'));
	is(unpack('H*', $bytes), '', 'the caller says nothing');
	ok(callers_logged(qr/n3 at .* was not issued by the CA/, \%before),
	    'the log says why');
};
subtest 'another member, at the address of n3' => sub {
	my %before = map { $_->name => length log_of($_) } $n1, $n2;
	my ($bytes) = pose_as_n3(hello('n9'), @outsider);
	is_deeply([ map { $_->[0] } frames($bytes) ], [ REFUSED ],
	    'the caller says that it will not, and no more');
	is_deeply([ leaks($bytes) ], [], 'nothing leaks');
	ok(callers_logged(qr/"n3" was expected .* that of "n9"/, \%before),
	    'the log says why');
};
subtest 'the name of n3 with another key, at its address' => sub {
	my %before = map { $_->name => length log_of($_) } $n1, $n2;
	my ($bytes) = pose_as_n3(hello('n3'),
	    make_node($ours, 'n3', 'impostor-n3'));
	# The caller introduces itself first; that is where it ends.
	is_deeply([ grep { $_->[0] != REFUSED && $_->[0] != HELLO }
	    frames($bytes) ], [], 'no frame about the cluster');
	is_deeply([ grep { !/cluster id/ } leaks($bytes) ], [],
	    'no secret');
	ok(callers_logged(qr/key of "n3" is not the one pinned/, \%before),
	    'the log says why');
};
$t->start('n3');

# --- Nothing happened -----------------------------------------------------

subtest 'the cluster did not notice' => sub {
	my $status = $t->wait_healthy;
	ok($status, 'it is healthy') or return;
	is($status->{$_}, $healthy->{$_}, "the same $_")
	    for qw(primary epoch coordinator);
	for my $node ($n1, $n2) {
		is(join(' ', $node->pids('agent')), $agent{$node->name},
		    $node->name . "'s agent still runs");
	}
	my $log = substr log_of($n1), $log_before{n1};
	is_deeply([ $log =~ /^.*link to n2 is down.*$/mg ], [],
	    'the link between the others never broke');
	is_deeply([ map { my $log = log_of($_); map { "$_ in a log" }
	    leaks($log) } $n1, $n2, $n3 ], [], 'no log has a secret');
};

# --- Removed --------------------------------------------------------------

# n1 is the one that calls the others, so it is the one to go.
subtest 'a removed member' => sub {
	my ($exit, $out, $err) = $t->ctl('promote', 'n2', '--yes');
	is($exit, 0, 'n2 is the primary') or diag($out, $err);
	ok($t->wait_status(sub {
		my $line = $n1->status($_[0]);
		return ($_[0]{primary} // '') eq 'n2' &&
		    $_[0]{health} eq 'healthy' &&
		    $line->{state} eq 'streaming';
	}, 60, 'n1 streaming from n2'), 'n1 follows it') or return;

	($exit, $out, $err) = $t->ctl('remove', 'n1', '--yes');
	is($exit, 0, 'n1 is removed') or diag($out, $err);
	ok($t->wait_until(sub { !$n1->pids('postmaster') }, 20,
	    'the end of its PostgreSQL'), 'its PostgreSQL is stopped');
	ok($t->wait_until(sub {
		my $status = $t->status // return 0;
		return !grep { $_->{name} eq 'n1' } @{$status->{nodes}};
	}, 20, 'a status without n1'), 'status does not know it');
	my $data = tree($n1->data_dir);
	ok(-e $n1->data_dir . '/PG_VERSION', 'its data is there');

	note($t->sandbox_ok('kill', 'n1', 'host'));
	my $before = length log_of($n2);
	my $own_before = length log_of($n1);
	$t->start('n1');
	ok($t->wait_until(sub {
		substr(log_of($n2), $before) =~
		    /refused the link with n1 .*"n1" is not a member/
	}, 20, 'the refusal'), 'its next connection is refused');
	ok($t->wait_until(sub {
		substr(log_of($n1), $own_before) =~
		    /this node is refused by n[23] .*"n1" is not a member/
	}, 20, 'the refusal on n1'), 'it is told so');
	my ($bytes) = call($n2, hello('n1'), own($n1));
	is_deeply([ map { $_->[0] } frames($bytes) ], [ REFUSED ],
	    'its certificate opens nothing any more');
	is_deeply([ leaks($bytes) ], [], 'and nothing leaks');
	is(scalar $n1->pids('postmaster'), 0,
	    'its PostgreSQL is not started');
	is(tree($n1->data_dir), $data, 'its data is as it was');
};

ok($ledger->wait_more(20, 20), 'the client goes on');
$ledger->stop;
is_deeply([ $ledger->lost('n2') ], [], 'no acknowledged row is lost');
done_testing;
