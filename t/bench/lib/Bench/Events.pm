package Bench::Events;

# Copyright (C) The nginx analytics authors

# The events that are posted: 180 bytes each, as sites send them, of the last
# hour, 20 types of unlike frequency.  Always the same, but for the clock.

use strict;
use warnings;

use Exporter qw(import);
use POSIX qw(strftime);

use Bench::Process;

our @EXPORT = qw(lines_of_events lines_of_batches requests_of_batches
    file_of_users file_of_large_list);

use constant SIZE => 180;

# seconds, over which events in batches are spread
our $SPAN = 3600;

my @TYPES = qw(page_view click scroll search login logout signup purchase
    add_to_cart remove_from_cart share comment like follow download upload
    play pause error feedback);

my $SEED = 1;


# A generator of our own: Perl's differs from build to build.

sub number {
    my ($n) = @_;

    $SEED = ($SEED * 1103515245 + 12345) % 2147483648;

    return ($SEED >> 8) % $n;
}


sub type {
    my $a = number(20);
    my $b = number(20);

    return $TYPES[$a < $b ? $a : $b];
}


# The second is mostly the one of the event before.

sub text_of {
    my ($time) = @_;

    our ($last, $text);

    if (!defined $last || $last != $time) {
        ($last, $text) = ($time, strftime('%Y-%m-%dT%H:%M:%S', gmtime $time));
    }

    return $text;
}


sub event {
    my ($user, $time) = @_;

    my $event = sprintf '{"user_id":"user_%06d","event_type":"%s",'
        . '"timestamp":"%s.%03dZ","metadata":{"page":"/articles/%d",'
        . '"ms":%d,"referrer":"',
        $user, type(), text_of($time),
        number(1000), number(5000), number(2000);

    return $event . substr('https://example.com/a/page/that/sent/us/the/reader',
        0, SIZE - length($event) - 3) . '"}}';
}


# Users in no order, each as often as any other.

sub shuffled {
    my ($n) = @_;

    my @list = (0 .. $n - 1);

    for my $i (reverse 1 .. $#list) {
        my $j = number($i + 1);
        @list[$i, $j] = @list[$j, $i];
    }

    return \@list;
}


# Hands batches of 1000 events to a function.  As long as there are enough of
# them, each user comes once before any comes again.  The events are in the
# order of their times, as those that wait somewhere to be sent together are.

sub batches {
    my ($n, $users, $take) = @_;

    my $order = $n * 1000 >= $users && $users > 1000 ? shuffled($users)
        : [map { number($users) } 1 .. $n * 1000];
    my ($at, $since) = (0, time - $SPAN);

    for (1 .. $n) {
        my @events;

        for (1 .. 1000) {
            push @events, event($order->[$at % @$order],
                $since + int($SPAN * $at / ($n * 1000)));
            $at++;
        }

        $take->('[' . join(',', @events) . ']');
    }
}


sub lines_of_events {
    my ($name, $n, $users) = @_;

    my $path = work_dir() . "/$name";
    my $now  = time;

    write_file($path, map {
        event(number($users), $now - number(60)) . "\n"
    } 1 .. $n);

    return $path;
}


sub lines_of_batches {
    my ($name, $n, $users) = @_;

    my $path = work_dir() . "/$name";

    open my $fh, '>:raw', $path or die "$path: $!\n";
    batches($n, $users, sub { print {$fh} $_[0], "\n" });
    close $fh or die "$path: $!\n";

    return $path;
}


# A request that is ready to be sent, header and all.

sub request {
    my ($path, $body) = @_;

    return "POST $path HTTP/1.1\r\nHost: localhost\r\n"
        . "Content-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n" . $body;
}


# Requests in a file, and where in it they stand.

sub file_of_requests {
    my ($name, $users, $write) = @_;

    my $file = { path => work_dir() . "/$name", at => [], events => 0,
        users => $users };
    my $at   = 0;

    open my $fh, '>:raw', $file->{path} or die "$file->{path}: $!\n";

    $write->(sub {
        my ($request, $events) = @_;

        print {$fh} $request;
        push @{ $file->{at} }, [$at, length $request];

        $at += length $request;
        $file->{events} += $events;
    });

    close $fh or die "$file->{path}: $!\n";

    return $file;
}


sub requests_of_batches {
    my ($name, $path, $n, $users) = @_;

    return file_of_requests($name, $users, sub {
        my ($add) = @_;
        batches($n, $users, sub { $add->(request($path, $_[0]), 1000) });
    });
}


# Users with ids of 20 bytes and an event of each of three types.

sub file_of_users {
    my ($name, $path, $users) = @_;

    return file_of_requests($name, $users, sub {
        my ($add) = @_;

        for my $round (0 .. 2) {
            for (my $user = 0; $user < $users; $user += 1000) {
                my @events = map {
                    sprintf '{"user_id":"%020d","event_type":"%s"}', $_,
                        $TYPES[($_ + $round) % @TYPES]
                } $user .. $user + 999;

                $add->(request($path, '[' . join(',', @events) . ']'), 1000);
            }
        }
    });
}


sub file_of_large_list {
    my ($name, $path, $bytes, $users) = @_;

    return file_of_requests($name, $users, sub {
        my ($add) = @_;

        my $since = time - 3600;
        my $n     = int($bytes / (SIZE + 1));

        my @events = map {
            event(number($users), $since + int(3600 * $_ / $n))
        } 1 .. $n;

        $add->(request($path, '[' . join(',', @events) . ']'), $n);
    });
}


1;
