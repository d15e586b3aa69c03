package Analytics::Sender;

# Copyright (C) The nginx analytics authors

# Clients, each a process of its own with one connection, that send events
# and write down what became of each request.  What they send follows from
# the client's number and the request's, so that it can be told afterwards.
#
#     my $sender = Analytics::Sender->new(dir => ..., clients => 8);
#
#     $sender->start(port => $port);
#     ...
#     $sender->stop;               # each gets its last answer
#     my $told = $sender->told;    # what became of each request
#
# Options:
#     clients   how many; from, the number of the first one, 1 by default
#     requests  how many each sends, or until it is stopped
#     pause     seconds between two requests of a client
#     sizes     [ [ WEIGHT, LEAST, MOST, PAD ], ... ]: how many events a
#               request has, and how much longer than need be they are; of
#               one event it is no list
#     ids       1: events have a message_id
#     keys      1: requests have an Idempotency-Key
#     values    1: events have properties k and v, a text and a number
#     again     1: requests are sent again until there is an answer that is
#               not 5xx
#     vanish    N: one request in N is left alone, whole or in part
#
# A client whose answer does not come in time says so, and ends.

use strict;
use warnings;

use Digest::MD5 qw(md5);
use IO::Compress::Gzip ();
use IO::Select;
use POSIX qw(floor);
use Time::HiRes qw(sleep time);

use Analytics::Client;
use Analytics::Test;

my @SIZES = ([ 140, 1, 1, 0 ], [ 50, 2, 40, 0 ], [ 8, 100, 400, 0 ],
    [ 1, 2200, 2800, 600 ]);

# what is told below is true of these; longer ones may come in part
my $WHOLE = 1048576;

my @RUNNING;
my $OWNER = $$;


sub new {
    my ($class, %arg) = @_;

    mkdir $arg{dir};

    return bless { clients => 4, from => 1, requests => 0, pause => 0,
        sizes => \@SIZES, ids => 0, keys => 0, again => 0,
        values => 0, vanish => 0, at => int time,
        pids => {}, %arg }, $class;
}


# The events of a request, as what is kept of them.

sub events {
    my ($self, $client, $n) = @_;

    my ($count, $pad) = $self->_size($client, $n);

    return map { $self->event($client, $n, $_, $pad) } 0 .. $count - 1;
}


sub _size {
    my ($self, $client, $n) = @_;

    my ($which, $size) = unpack 'V2', md5("size $client $n");
    my $sum = 0;

    $sum += $_->[0] for @{ $self->{sizes} };
    $which %= $sum;

    for my $range (@{ $self->{sizes} }) {
        my ($weight, $least, $most, $pad) = @$range;

        return ($least + $size % ($most - $least + 1), $pad)
            if $which < $weight;

        $which -= $weight;
    }
}


sub event {
    my ($self, $client, $n, $i, $pad) = @_;

    my ($user, $type, $when, $time) = unpack 'V4', md5("$client $n $i");

    $user = ($user % 4 ? "user $client." : "us\xc3\xa9r \"$client\\")
        . ($user >> 8) % 40;

    return {
        user       => $user,
        type       => 'type ' . $type % 20,
        time       => $when % 10 < 6 ? undef
            : ($self->{at} - $time % (9 * 86400)) * 1000000
                + ($when % 3 ? $when % 1000000 : 0),
        properties => "{\"n\":\"$client-$n-$i\""
            . ($self->{values} ? sprintf(',"k":"k%d","v":%d.%02d',
                $time % 5, $when % 1000, $type % 100) : '')
            . ($pad ? ',"pad":"' . 'x' x $pad . '"' : '') . '}',
        own        => $self->{ids} ? "m$client-$n-$i" : undef,
    };
}


# An event's number, of its properties.

sub number {
    my ($properties) = @_;

    return $properties =~ /^\{"n":"(\d+)-(\d+)-(\d+)"/;
}


sub as_json {
    my ($event) = @_;

    my $user = $event->{user} =~ s/(["\\])/\\$1/gr;

    # as an escape, too
    $user =~ s/\xc3\xa9/\\u00e9/g if $event->{type} =~ /[13579]$/;

    my $json = "{\"user_id\":\"$user\",\"event_type\":\"$event->{type}\"";

    if (defined $event->{time}) {
        my $second = floor($event->{time} / 1000000);
        my $part   = $event->{time} - $second * 1000000;

        $json .= ',"timestamp":"' . POSIX::strftime('%Y-%m-%dT%H:%M:%S',
            gmtime $second) . ($part ? sprintf '.%06dZ', $part : 'Z') . '"';
    }

    $json .= ",\"message_id\":\"$event->{own}\"" if defined $event->{own};

    return "$json,\"metadata\":$event->{properties}}";
}


# The bytes of a request, and how long its body is.

sub request {
    my ($self, $client, $n) = @_;

    my @events  = map { as_json($_) } $self->events($client, $n);
    my $lines   = @events > 1 && $n % 5 == 0;
    my $body    = @events == 1 ? $events[0]
        : $lines ? join("\n", @events) : '[' . join(',', @events) . ']';
    my $length  = length $body;
    my @headers;

    push @headers, "Idempotency-Key: key-$client-$n" if $self->{keys};

    if ($n % 23 == 0 && $length < 100_000) {
        IO::Compress::Gzip::gzip(\$body, \my $packed, -Level => 1);
        $body = $packed;
        push @headers, 'Content-Encoding: gzip';
    }

    if ($n % 7 == 0) {
        $body = Analytics::Client::chunked($body, 1 + $n % 5000, 10000);
        push @headers, 'Transfer-Encoding: chunked';
    }

    my $bytes = Analytics::Client::format_request('POST', '/events/',
        type => $lines ? 'application/x-ndjson' : 'application/json',
        headers => \@headers, body => $body);

    return ($bytes, $length);
}


sub start {
    my ($self, %arg) = @_;

    $self->{$_} = $arg{$_} for keys %arg;

    pipe my $read, my $write or die "pipe: $!\n";

    for my $client ($self->numbers) {
        my $pid = fork // die "fork: $!\n";

        if (!$pid) {
            close $write;
            close $_->{write} for grep { $_->{write} } @RUNNING;
            $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP ALRM);

            if (!eval { $self->_client($client, IO::Select->new($read)); 1 }) {
                my $error = $@;

                eval { $self->_note($client, "E $error") };
            }

            POSIX::_exit(0);
        }

        $self->{pids}{$pid} = $client;
    }

    close $read;
    $self->{write} = $write;
    push @RUNNING, $self;

    return $self;
}


sub numbers {
    my ($self) = @_;

    return $self->{from} .. $self->{from} + $self->{clients} - 1;
}


# Has them end after their last answers.

sub stop {
    my ($self) = @_;

    close delete $self->{write} if $self->{write};

    return $self->finish;
}


# Waits until they have sent all that they are to send.

sub finish {
    my ($self) = @_;

    waitpid $_, 0 for keys %{ $self->{pids} };

    $self->{pids} = {};
    close delete $self->{write} if $self->{write};
    @RUNNING = grep { $_ != $self } @RUNNING;

    return $self;
}


sub DESTROY {
    my ($self) = @_;

    return if $$ != $OWNER;

    local $?;

    kill 'KILL', keys %{ $self->{pids} };
    $self->finish;
}


END {
    if ($$ == $OWNER) {
        my $status = $?;

        $_->DESTROY for @RUNNING;
        $? = $status;
    }
}


# One client.  Its file has a line for each thing that happens:
#
#     S N                     request N is about to be sent
#     A N FIRST LAST COUNT TIME
#                             it was accepted, and when the answer was there
#     R N STATUS COUNT RETRY  it was refused; so many were accepted before,
#                             and whether there was a Retry-After
#     L N                     there was no answer
#     P N, V N                it was left alone, in part or whole
#     E MESSAGE               something is wrong

sub _note {
    my ($self, $client, $line) = @_;

    $line =~ s/\s*\z/\n/;

    open $self->{file}, '>>:raw', "$self->{dir}/$client" or die
        unless $self->{file};

    syswrite $self->{file}, $line;
}


sub _client {
    my ($self, $client, $stop) = @_;

    my $n    = $self->_next($client);
    my $last = $n + $self->{requests};
    my $connection;

    until ($self->{requests} && $n == $last || $stop->can_read(0)) {
        my ($bytes) = $self->request($client, $n);

        1 until $self->_try($client, $n, $bytes, \$connection, $stop);

        $n++;
        $stop->can_read($self->{pause}) if $self->{pause};
    }
}


# What was sent in an earlier run is not sent again.

sub _next {
    my ($self, $client) = @_;

    my ($last) = Analytics::Test::read_file("$self->{dir}/$client")
        =~ /.*^S (\d+)$/ms;

    return defined $last ? $last + 1 : 0;
}


# Sends a request.  Returns false if it is to be sent again.

sub _try {
    my ($self, $client, $n, $bytes, $connection, $stop) = @_;

    $$connection //= $self->_connect($stop) or return 1;

    $self->_note($client, "S $n");

    if ($self->{vanish} && $n % $self->{vanish} == 1) {
        my $part = $n & 2;

        $$connection->send_raw($part ? substr $bytes, 0, -10 : $bytes);
        $self->_note($client, $part ? "P $n" : "V $n");
        $$connection->close;
        undef $$connection;

        return 1;
    }

    # it may answer, and close, before it has read all

    my $answer = eval {
        $$connection->send_raw($bytes);
        $$connection->response('POST');
    };

    die $@ if $@;

    if (!$answer || ($answer->header('connection') // '') eq 'close') {
        $$connection->close;
        undef $$connection;
    }

    if (!$answer) {
        $self->_note($client, "L $n");
        return !$self->{again};
    }

    $self->_note($client, _outcome($n, $answer));

    return 1 unless $self->{again} && $answer->{status} >= 500;

    sleep 0.01;
    return 0;
}


sub _outcome {
    my ($n, $answer) = @_;

    my $data = $answer->json;

    if ($answer->{status} == 201) {
        my ($first, $last, $count) = defined $data->{id}
            ? ($data->{id}, $data->{id}, 1)
            : @$data{qw(first_id last_id accepted)};

        return sprintf 'A %d %d %d %d %.6f', $n, $first, $last, $count, time;
    }

    # of a long body a part may be there, and then the answer says so

    my ($stored) = ($data->{detail} // '') =~ /^(\d+) events were stored/;

    return sprintf 'R %d %d %d %d', $n, $answer->{status}, $stored // 0,
        ($answer->header('retry-after') // '') =~ /^\d+$/;
}


# A connection; undef if it was stopped before there was one.

sub _connect {
    my ($self, $stop) = @_;

    my $deadline = time + $Analytics::Client::TIMEOUT;

    while (1) {
        my $client = eval { Analytics::Client->new(port => $self->{port}) };

        # a port that nobody listens on may connect to itself

        return $client if $client
            && $client->{socket}->sockport != $self->{port};

        return undef if $stop->can_read(0) && !$self->{again};
        die "cannot connect: $@" if time > $deadline;

        sleep 0.005;
    }
}


# What became of each request: { CLIENT => { N => { state, first, last, count,
# time, status, retry, sent } } }, and what is wrong.  state is accepted, refused,
# lost, part (it was not sent in full) or open (nothing is known: as lost).

sub told {
    my ($self) = @_;

    my (%told, @wrong);

    for my $client ($self->numbers) {
        for (split /\n/, Analytics::Test::read_file("$self->{dir}/$client")) {
            my ($what, $n, @rest) = split / /;

            if ($what eq 'E') {
                push @wrong, "client $client: " . substr $_, 2;
                next;
            }

            my $r = $told{$client}{$n} //= { state => 'open', sent => 0 };

            if ($what eq 'S') {
                $r->{sent}++;
                $r->{state} = 'open';
            } elsif ($what eq 'A') {
                $r->{state} = 'accepted';
                @$r{qw(first last count time)} = @rest;
            } elsif ($what eq 'R') {
                $r->{state} = 'refused';
                @$r{qw(status count retry)} = @rest;
            } else {
                $r->{state} = $what eq 'P' ? 'part' : 'lost';
            }
        }
    }

    return (\%told, \@wrong);
}


# How many requests ended how, and how many events were accepted.

sub summary {
    my ($self) = @_;

    my ($told, $wrong) = $self->told;
    my %sum = (accepted => 0, events => 0, wrong => $wrong);

    for my $r (map { values %$_ } values %$told) {
        $sum{ $r->{state} }++;
        $sum{events} += $r->{count} if $r->{state} eq 'accepted';
    }

    return \%sum;
}


# Whether a request's body is one that is taken as a whole or not at all.

sub whole {
    my ($self, $client, $n) = @_;

    my ($count, $pad) = $self->_size($client, $n);

    # an event is 200 bytes at most without it

    return 1 if $count * ($pad + 200) < $WHOLE;

    my ($bytes, $length) = $self->request($client, $n);

    return $length <= $WHOLE;
}


sub count {
    my ($self, $client, $n) = @_;

    return ($self->_size($client, $n))[0];
}


1;
