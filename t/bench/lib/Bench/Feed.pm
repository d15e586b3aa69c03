package Bench::Feed;

# Copyright (C) The nginx analytics authors

# Posts large requests that lie ready in a file, over a few connections at
# once, and costs next to nothing itself: the kernel sends them from the page
# cache.

use strict;
use warnings;

use Exporter qw(import);
use Fcntl qw(SEEK_SET SEEK_CUR);
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_SNDBUF IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

use Bench::Process;

our @EXPORT = qw(feed feed_start feed_stop);

use constant READ => 65536;


# Options: port, file (see Bench::Events), connections; count, of requests,
# or until SIGTERM.  Returns {requests, seconds}.

sub run {
    my (%arg) = @_;

    my $state = { %arg, next => $arg{from} // 0, started => 0, done => 0,
        went => 0, stop => 0 };
    local $SIG{TERM} = sub { $state->{stop} = 1 };

    my @open = map { connection($state) } 1 .. $arg{connections};
    my $since = time;

    begin($state, $_) for @open;
    serve($state, \@open) while grep({ $_->{busy} } @open) && !$state->{stop};

    return { requests => $state->{done}, seconds => time - $since };
}


sub connection {
    my ($state) = @_;

    my $socket = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $state->{port}
    ) or die "cannot connect: $@\n";

    # most of a batch fits; the connection is never waited for
    setsockopt $socket, SOL_SOCKET, SO_SNDBUF, pack 'i', 262144;
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, pack 'i', 1;
    $socket->blocking(0);

    open my $file, '<:raw', $state->{file}{path} or die "$!\n";

    return { socket => $socket, fd => fileno $socket, file => $file };
}


sub begin {
    my ($state, $c) = @_;

    $c->{busy} = 0;

    return if $state->{count} && $state->{started} >= $state->{count};

    my $at = $state->{file}{at};
    my ($offset, $len) = @{ $at->[ $state->{next}++ % @$at ] };

    $state->{started}++;
    sysseek $c->{file}, $offset, SEEK_SET;
    @$c{qw(busy left answer)} = (1, $len, '');

    send_some($c);
}


sub send_some {
    my ($c) = @_;

    while ($c->{left}) {
        my $n;

        if (my $sendfile = $Bench::Process::SENDFILE) {
            $n = syscall $sendfile, $c->{fd}, fileno $c->{file}, 0, $c->{left};
            undef $n if $n == -1;

        } else {
            my $want = $c->{left} < READ ? $c->{left} : READ;
            my $part;
            my $got = sysread $c->{file}, $part, $want;

            $n = syswrite $c->{socket}, $part;
            sysseek $c->{file}, ($n // 0) - $got, SEEK_CUR;
        }

        if (!defined $n) {
            return if $!{EAGAIN} || $!{EINTR};
            die "cannot send: $!\n";
        }

        $c->{left} -= $n;
    }
}


sub serve {
    my ($state, $open) = @_;

    my ($read, $write) = ('', '');

    for my $c (@$open) {
        vec($read,  $c->{fd}, 1) = 1 if $c->{busy};
        vec($write, $c->{fd}, 1) = 1 if $c->{busy} && $c->{left};
    }

    my $n = select $read, $write, undef, 30;

    return if $n < 0;
    die "no answer for 30 seconds\n" if !$n;

    for my $c (@$open) {
        receive($state, $c) if vec $read, $c->{fd}, 1;
        send_some($c) if $c->{left} && vec $write, $c->{fd}, 1;
    }
}


sub receive {
    my ($state, $c) = @_;

    my $n = sysread $c->{socket}, $c->{answer}, READ, length $c->{answer};

    if (!defined $n) {
        return if $!{EAGAIN} || $!{EINTR};
        die "cannot receive: $!\n";
    }

    die "closed by the server: $c->{answer}\n" if !$n;

    my $header = index $c->{answer}, "\r\n\r\n";
    return if $header < 0;

    my ($len) = $c->{answer} =~ /^Content-Length: (\d+)/mi;
    return if length($c->{answer}) < $header + 4 + ($len // 0);

    die "refused: $c->{answer}\n" unless $c->{answer} =~ m{^HTTP/1.1 201};

    $state->{done}++;
    begin($state, $c);
}


# In a process of its own, until all is sent.

sub feed {
    my (%arg) = @_;

    $arg{connections} //= 4;
    $arg{count} //= scalar @{ $arg{file}{at} };

    my $said = run_process(sub { report(run(%arg)) }, cpus => $arg{cpus});

    return parse($said);
}


# The same in the background, until it is stopped.

sub feed_start {
    my (%arg) = @_;

    my $out = work_dir() . '/feed-' . join '-', @{ $arg{cpus} }, $arg{port};
    my $pid = start_process(sub { report(run(%arg)) }, out => $out,
        cpus => $arg{cpus});

    return { pid => $pid, out => $out };
}


sub feed_stop {
    my ($feed) = @_;

    end_process($feed->{pid}, 'TERM');

    return parse(read_file($feed->{out}));
}


sub report {
    my ($result) = @_;

    print "FED requests=$result->{requests} seconds=$result->{seconds}\n";
}


sub parse {
    my ($said) = @_;

    my ($requests, $seconds) = $said =~ /^FED requests=(\d+) seconds=(\S+)/m
        or die "posting failed: $said\n";

    return { requests => $requests, seconds => $seconds };
}


1;
