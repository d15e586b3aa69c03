package Analytics::Load;

# Copyright (C) The nginx analytics authors

# Many connections at once.
#
#     Analytics::Load::run(port => $port, connections => 16,
#         next => sub { the bytes of a request, or undef when there are none },
#         done => sub { my ($answer) = @_; ... },
#         lost => sub { a request was sent, at least in part, and not answered });
#
#     my $load = Analytics::Load->start(port => ..., connections => ..., body =>
#         sub { my ($n) = @_; ... });
#     ...
#     my $count = $load->stop;

use strict;
use warnings;

use IO::Select;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

use Analytics::Client;


sub run {
    my (%arg) = @_;

    my (%busy, $ended);
    my $deadline = time + $Analytics::Client::TIMEOUT;
    my @idle     = (undef) x ($arg{connections} || 16);
    my $readers  = IO::Select->new;
    my $writers  = IO::Select->new;

    while (1) {

        while (!$ended && @idle) {
            my $bytes = $arg{next}->();

            if (!defined $bytes) {
                $ended = 1;
                last;
            }

            my $client = shift(@idle) // _connect($arg{port});

            $busy{ fileno $client->{socket} } = $client;
            $client->{out}     = $bytes;
            $client->{started} = 0;

            $readers->add($client->{socket});
            $writers->add($client->{socket}) unless _write($client);
        }

        last if $ended && !%busy;

        my ($in, $out) = IO::Select->select($readers, $writers, undef, 1);

        die "timed out under load\n" if time > $deadline;

        for my $socket (@{ $out // [] }) {
            my $client = $busy{ fileno $socket } // next;

            $writers->remove($socket) if _write($client);
        }

        for my $socket (@{ $in // [] }) {
            my $client = $busy{ fileno $socket } // next;

            my $state = _read($client, $arg{done}) or next;

            $deadline = time + $Analytics::Client::TIMEOUT;

            delete $busy{ fileno $socket };
            $readers->remove($socket);
            $writers->remove($socket);

            if ($state eq 'kept') {
                push @idle, $client;
                next;
            }

            $client->close;
            push @idle, undef;

            next if $state eq 'answered';

            # nothing came back: the server may have closed an idle
            # connection just then, or have died with the request

            $arg{lost}->() if $arg{lost};
        }
    }

    $_->close for grep { $_ } @idle;
}


sub _connect {
    my ($port) = @_;

    my $deadline = time + $Analytics::Client::TIMEOUT;

    while (1) {
        my $client = eval { Analytics::Client->new(port => $port) };

        return $client if $client;

        die $@ if time > $deadline;

        sleep 0.01;
    }
}


# Writes what can be written; true when there is no more to write.

sub _write {
    my ($client) = @_;

    while (length $client->{out}) {
        my $n = syswrite $client->{socket}, $client->{out}, 262144;

        last unless defined $n;

        $client->{started} = 1;
        substr $client->{out}, 0, $n, '';
    }

    return !length $client->{out} || !Analytics::Client::_again();
}


sub _read {
    my ($client, $done) = @_;

    $client->fill(0);

    if (my $answer = $client->take_response('POST')) {
        $done->($answer);

        return ($answer->header('connection') // '') eq 'close'
            || $client->{eof} || length $client->{out} ? 'answered' : 'kept';
    }

    return $client->{eof} ? 'lost' : '';
}


# A load in the background, until it is stopped.

sub start {
    my ($class, %arg) = @_;

    pipe my $stop_read, my $stop_write or die "pipe: $!\n";
    pipe my $result_read, my $result_write or die "pipe: $!\n";

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        close $stop_write;
        close $result_read;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);

        my $count = eval { _load($stop_read, %arg) } // { error => "$@" };

        print {$result_write} JSON::PP->new->encode($count);
        close $result_write;
        POSIX::_exit(0);
    }

    close $stop_read;
    close $result_write;

    return bless { pid => $pid, stop => $stop_write, result => $result_read },
        $class;
}


sub _load {
    my ($stop, %arg) = @_;

    my $stopped = IO::Select->new($stop);
    my $path    = $arg{path} // '/events/';
    my %count   = (sent => 0, lost => 0, acknowledged => 0, other => {});

    run(
        port        => $arg{port},
        connections => $arg{connections},

        next => sub {
            return undef if $stopped->can_read(0);

            return Analytics::Client::format_request('POST', $path,
                type => 'application/json',
                body => $arg{body}->($count{sent}++));
        },

        done => sub {
            my ($answer) = @_;

            if ($answer->{status} == 201) {
                $count{acknowledged}++;
            } else {
                $count{other}{ $answer->{status} }++;
            }
        },

        lost => sub { $count{lost}++ },
    );

    return \%count;
}


sub stop {
    my ($self) = @_;

    # its end is not enough: a load that was started later has it open, too

    syswrite $self->{stop}, '.';
    close delete $self->{stop};

    my $result = do { local $/; readline $self->{result} };

    waitpid delete $self->{pid}, 0;

    my $count = JSON::PP->new->decode($result);

    die "load: $count->{error}" if $count->{error};

    return $count;
}


sub DESTROY {
    my ($self) = @_;

    return unless $self->{pid};

    local $?;

    kill 'KILL', $self->{pid};
    waitpid $self->{pid}, 0;
}


1;
