package Analytics::Client;

# Copyright (C) The nginx analytics authors

# A client that hides nothing: one socket, bytes as the test wrote them, and
# answers taken apart strictly.  Waiting always has a deadline.

use strict;
use warnings;

use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Time::HiRes qw(time);

our $TIMEOUT = $ENV{ANALYTICS_TIMEOUT} || 60;

# A server may close while the test still writes: that is an answer, too.
$SIG{PIPE} = 'IGNORE';


sub new {
    my ($class, %arg) = @_;

    my $socket = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1',
        PeerPort => $arg{port},
        Proto    => 'tcp',
    ) or die "cannot connect to port $arg{port}: $@\n";

    $socket->blocking(0);
    binmode $socket;

    return bless { socket => $socket, in => '' }, $class;
}


sub close {
    my ($self) = @_;

    close delete $self->{socket} if $self->{socket};
}


# The bytes of a request.  A body gets its Content-Length unless the headers
# that are given say how it is framed.

sub format_request {
    my ($method, $path, %arg) = @_;

    my @lines = ("$method $path HTTP/1.1", "Host: " . ($arg{host} // 'localhost'));

    push @lines, "Content-Type: $arg{type}" if defined $arg{type};
    push @lines, @{ $arg{headers} // [] };

    push @lines, 'Content-Length: ' . length $arg{body}
        if defined $arg{body}
        && !grep { /^(?:Content-Length|Transfer-Encoding):/i } @lines;

    push @lines, 'Connection: close' if $arg{close};

    return join("\r\n", @lines, '', '') . ($arg{body} // '');
}


# A body in chunks of the given sizes; the last size is repeated.

sub chunked {
    my ($body, @sizes) = @_;

    my $out = '';
    my $at  = 0;

    while ($at < length $body) {
        my $size  = @sizes > 1 ? shift @sizes : $sizes[0];
        my $chunk = substr $body, $at, $size;

        $out .= sprintf "%x\r\n%s\r\n", length $chunk, $chunk;
        $at  += length $chunk;
    }

    return "${out}0\r\n\r\n";
}


sub send_raw {
    my ($self, $bytes) = @_;

    my $select   = IO::Select->new($self->{socket});
    my $deadline = time + $TIMEOUT;
    my $at       = 0;

    while ($at < length $bytes) {
        my $n = syswrite $self->{socket}, $bytes, 262144, $at;

        if (defined $n) {
            $at += $n;
            next;
        }

        return 0 unless _again();
        die "timed out while sending\n" if time > $deadline;

        $select->can_write(1);
    }

    return 1;
}


# Sends a request and takes its answer.

sub request {
    my ($self, $method, $path, %arg) = @_;

    $self->send_raw(format_request($method, $path, %arg));

    return $self->response($method);
}


# The next answer on this connection; undef if the server closed it instead.

sub response {
    my ($self, $method) = @_;

    my $deadline = time + $TIMEOUT;

    while (1) {
        my $response = $self->take_response($method);

        return $response if $response;
        return undef if $self->{eof};

        die "timed out while waiting for an answer\n"
            unless $self->fill($deadline - time) || $self->{eof};
    }
}


# Reads what there is, waiting for it at most that long.

sub fill {
    my ($self, $timeout) = @_;

    $timeout = 0 if $timeout < 0;

    return 0 unless IO::Select->new($self->{socket})->can_read($timeout);

    my $n = sysread $self->{socket}, $self->{in}, 262144, length $self->{in};

    return 1 if $n;

    $self->{eof} = 1 if defined $n || !_again();

    return 0;
}


# Takes one whole answer out of what has been read, or returns undef.

sub take_response {
    my ($self, $method) = @_;

    my $end = index $self->{in}, "\r\n\r\n";

    return undef if $end < 0;

    my ($line, @lines) = split /\r\n/, substr $self->{in}, 0, $end;
    my $r = bless { line => $line, headers => {}, body => '' },
        'Analytics::Response';

    ($r->{status}) = $line =~ m{^HTTP/1\.1 (\d{3})(?: |$)}
        or die "not a status line: $line\n";

    for (@lines) {
        my ($name, $value) = /^([^\s:]+):[ \t]*(.*?)[ \t]*$/
            or die "not a header: $_\n";

        push @{ $r->{headers}{ lc $name } }, $value;
    }

    $_ = join ', ', @$_ for values %{ $r->{headers} };

    my $length = $self->_frame($r, $method // 'GET', $end + 4);

    return undef unless defined $length;

    substr $self->{in}, 0, $length, '';

    return $r;
}


# Finds the body behind the header.  Returns how many bytes the answer takes
# in all, or undef if it is not all there.

sub _frame {
    my ($self, $r, $method, $start) = @_;

    return $start
        if $method eq 'HEAD'
        || $r->{status} < 200 || $r->{status} == 204 || $r->{status} == 304;

    if (($r->{headers}{'transfer-encoding'} // '') eq 'chunked') {
        return $self->_dechunk($r, $start);
    }

    my $length = $r->{headers}{'content-length'};

    if (defined $length) {
        return undef if length $self->{in} < $start + $length;

        $r->{body} = substr $self->{in}, $start, $length;

        return $start + $length;
    }

    return undef unless $self->{eof};

    $r->{body} = substr $self->{in}, $start;

    return length $self->{in};
}


sub _dechunk {
    my ($self, $r, $at) = @_;

    my $body = '';

    while (1) {
        pos($self->{in}) = $at;

        $self->{in} =~ /\G([0-9a-fA-F]+)\r\n/g or return undef;

        my $size = hex $1;
        my $data = pos $self->{in};

        return undef if length $self->{in} < $data + $size + 2;

        $body .= substr $self->{in}, $data, $size;
        $at = $data + $size + 2;

        last if $size == 0;
    }

    $r->{body} = $body;

    return $at;
}


# Whether the server closes the connection, waiting for it.

sub closes {
    my ($self) = @_;

    my $deadline = time + $TIMEOUT;

    until ($self->{eof}) {
        return 0 if time > $deadline;
        $self->fill(1);
    }

    return 1;
}


sub _again {
    return $!{EAGAIN} || $!{EWOULDBLOCK} || $!{EINTR};
}


package Analytics::Response;

sub header {
    my ($self, $name) = @_;

    return $self->{headers}{ lc $name };
}


# The body as data.  Dies if it is not JSON, so that no test takes an error
# page for an empty answer.

sub json {
    my ($self) = @_;

    my $data = eval { JSON::PP->new->utf8->allow_nonref->decode($self->{body}) };

    die "not JSON ($self->{line}): $self->{body}\n" if $@;

    return $data;
}


1;
