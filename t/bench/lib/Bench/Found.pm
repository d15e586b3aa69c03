package Bench::Found;

# Copyright (C) The nginx analytics authors

# The rows of single events: the store, what is asked of it, export.

use strict;
use warnings;

use parent 'Bench::Stored';

use Bench::Events;
use Bench::Feed;
use Bench::Process;
use Bench::Slices;
use HTTP::Tiny;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

# in this order
our @ROWS = qw(beside found);

use constant {
    LISTS   => 10_000,          # of 1000 events
    PEOPLE  => 100_000,
    PACE    => 50,              # lists a second, while questions are asked
    ASKED   => 2000,
    EXPORTS => 3,
};


# Lists while the store is filled behind them, against none.  Each slice
# begins a new log.

sub beside {
    my ($self) = @_;

    my $few  = lines_of_batches('few', 8, 1000);
    my $what = 'lists of 1000 events while the store is filled, against '
        . 'without a store, 2 cores';
    my $cpus = [$self->{server}, $self->{load}];
    my %behind;

    my $variant = sub {
        my ($name, $log) = @_;

        return ($name => sub {
            my ($round) = @_;
            my $ours = $self->ours({ some => '128m' }, log => $log,
                cpus => $cpus);
            my $slice = $self->slice($ours, '/some/events/', 'post.lua',
                connections => 8, args => [$few], cpus => $cpus)->($round);

            my $store = $ours->get_json('/health')->{zones}{some}{store};

            push @{ $behind{$name} }, $store->{behind_events} // 0 if $round;
            $ours->discard;

            return $slice;
        });
    };

    my $result = measure($what, $self->{rounds},
        $variant->(with => 'sync 1s; store on;'),
        $variant->(without => 'sync 1s;'));

    delete $_->{busy} for values %$result;

    my $r = ratio($result, 'with', 'without', 'rate');

    return {
        what     => $what,
        measured => sprintf('%.2f', $r->{ratio}),
        value    => $r->{ratio},
        floor    => 0.6, aim => 0.9,
        detail   => sprintf('%.2f to %.2f; %.2fM/s against %.2fM/s; the store '
            . 'was %.1fM events behind at the end', @$r{qw(low high)},
            map({ median(@{ $result->{$_}{rate} }) / 1000 } 'with', 'without'),
            median(@{ $behind{with} }) / 1e6)
            . $self->check_load($what, $result),
    };
}


# All that is asked of a store of 10M events.

sub found {
    my ($self) = @_;

    say_progress('making events of ' . PEOPLE . ' users');

    my $file = requests_of_batches('people', '/foun/events/', 1000, PEOPLE);
    my $ours = $self->ours({ foun => '256m' }, log => 'sync 1s;',
        cpus => [$self->{server}]);

    say_progress('filling zone foun');
    feed(port => $ours->port, file => $file, cpus => [$self->{load}],
        count => LISTS);
    $ours->stop;

    my @rows = $self->filling($ours);

    push @rows, $self->exporting($ours);

    $ours->stop;
    $ours->{cpus} = [$self->{server}, $self->{load}];
    $ours->launch;
    $self->wait_ready($ours, 'foun');

    push @rows, $self->asking($ours);

    $ours->stop;

    push @rows, $self->dropping($ours);

    $ours->discard;

    return @rows;
}


# From a log of 10M events to files; the worker and its threads have one
# processor.

sub filling {
    my ($self, $nginx) = @_;

    $nginx->{http} =~ s/sync 1s;/sync 1s; store on;/ or die;
    $nginx->{server} .= <<'CONF';
        location = /foun/list    { analytics_events foun format=event; }
        location = /foun/export  { analytics_export foun format=event; }
CONF

    write_file($nginx->dir . '/nginx.conf', $nginx->config);

    say_progress('filling the store');

    $nginx->launch;
    $self->wait_ready($nginx, 'foun');

    my ($since, $store) = (time);

    wait_until(sub {
        $store = $nginx->get_json('/health')->{zones}{foun}{store};

        return $store->{parts} && $store->{behind_events} < 100_000;
    }, 120) or die "the store was not filled\n";

    my $took   = time - $since;
    my $events = LISTS * 1000 - $store->{behind_events};
    my ($json, $texts) = $self->lengths;

    return {
        what     => 'filling the store with 10M events that wait in the log, '
            . 'one core',
        measured => sprintf('%.0fk/s', $events / $took / 1000),
        value    => $events / $took / 1000,
        floor    => 200, aim => 350, unit => 'k/s',
        detail   => sprintf('%.1f s; %d parts', $took, $store->{parts}),
    }, {
        what     => 'bytes of the store an event',
        measured => sprintf('%.1f', $store->{bytes} / $events),
        value    => $store->{bytes} / $events,
        floor    => 190, aim => 120, less => 1,
        detail   => sprintf('for %.1f bytes of content, %.1f of JSON', $texts,
            $json),
    };
}


# What is kept of an event, and its JSON; on average.

sub lengths {
    my ($self) = @_;

    my @events = split /\n/,
        read_file(lines_of_events('people-lines', 1000, PEOPLE));
    my ($json, $texts) = (0, 0);

    for (@events) {
        my @text =
            /"user_id":"(.*?)","event_type":"(.*?)",.*"metadata":(\{.*\})\}$/
            or die "what event is $_?\n";

        $json  += length;
        $texts += length join '', @text;
    }

    return $json / @events, $texts / @events;
}


# By a client that only counts.

sub exporting {
    my ($self, $nginx) = @_;

    my (@rate, @grown);

    for my $i (1 .. EXPORTS) {
        say_progress('export of 10M events, round ' . $i . ' of ' . EXPORTS);

        my $before = grown_to($nginx->workers);

        my $said = run_process(sub {
            my $since = time;
            my $lines = read_export($nginx->port);

            printf "EXPORTED %d %.3f\n", $lines, time - $since;
        }, cpus => [$self->{load}]);

        my ($lines, $took) = $said =~ /^EXPORTED (\d+) (\S+)/m
            or die "export failed: $said\n";

        die "$lines events were exported\n" unless $lines == LISTS * 1000;

        push @rate, $lines / $took / 1000;
        push @grown, grown_to($nginx->workers) - $before;
    }

    return {
        what     => 'export of 10M events as NDJSON, one core',
        measured => sprintf('%.0fk/s', median(@rate)),
        value    => median(@rate),
        floor    => 300, aim => 1000, unit => 'k/s',
        detail   => sprintf('the worker grew by %.1f MiB in the first, %.1f '
            . 'MiB in the last', map { $_ / 1024 } @grown[0, -1]),
    };
}


sub read_export {
    my ($port) = @_;

    my $socket = IO::Socket::INET->new("127.0.0.1:$port") or die "$@\n";
    my ($lines, $buffer) = (0);

    print $socket "GET /foun/export HTTP/1.0\r\nHost: a\r\n\r\n";

    # none of the header's lines ends with a brace
    my $end = '';

    while (sysread $socket, $buffer, 262_144) {
        $buffer = $end . $buffer;
        $lines += () = $buffer =~ /\}\n/g;
        $end = substr $buffer, -1;
        $end = '' if $end ne '}';
    }

    return $lines;
}


# Its own, in KiB: what it maps of files is the system's to take.

sub grown_to {
    my ($pid) = @_;

    return read_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m ? $1 : 0;
}


# One after the other, while 50,000 events a second come in.

sub asking {
    my ($self, $nginx) = @_;

    my $list = '[' . join(',', map {
        event_of($_)
    } 1 .. 1000) . ']';

    my $pid = start_process(sub {
        my $http = HTTP::Tiny->new(keep_alive => 1);
        my $next = time;

        while (1) {
            $http->post($nginx->url('/foun/events/'), { content => $list,
                headers => { 'Content-Type' => 'application/json' } })
                ->{success} or die "a list was refused\n";

            $next += 1 / PACE;
            sleep $next - time if $next > time;
        }
    }, out => work_dir() . '/pace', cpus => [$self->{load}]);

    my $now = time;
    my @rows;

    for (
        ['the last 100 events of a user', 'order=desc&limit=100'],
        ["a user's events of a day", sprintf 'from=%s&to=%s&limit=1000',
            map { Bench::Events::text_of($_) . 'Z' } $now - 86400, $now + 60],
    ) {
        my ($what, $query) = @$_;

        push @rows, $self->asked("$what among 10M, p99", $nginx, $query);
    }

    end_process($pid, 'TERM');

    return @rows;
}


# What "retain" does: unlink() of the store's oldest files, and of the log's
# segments that lie before their end.

sub dropping {
    my ($self, $nginx) = @_;

    my $dir   = $nginx->dir . '/foun';
    my @parts = sort glob "$dir/*-*.db";
    my ($end, $events, @files) = (0, 0);

    @parts = grep { m{/\d+-\d+\.db$} } @parts;

    while ($events < LISTS * 100) {
        my $part = shift @parts or die "there are no files to be dropped\n";

        ($end) = $part =~ /-(\d+)\.db$/;
        $events += `sqlite3 -readonly '$part' 'SELECT count(*) FROM events'`;
        push @files, $part;
    }

    my @segments = sort glob "$dir/*.log";

    for my $i (0 .. $#segments - 1) {
        push @files, $segments[$i]
            if ($segments[$i + 1] =~ /(\d+)\.log$/)[0] <= $end;
    }

    system 'sync';

    my $since = time;

    unlink($_) == 1 or die "$_: $!\n" for @files;

    my $took = 1000 * (time - $since);

    return {
        what     => 'dropping 10 % of 10M events: files of the store and of '
            . 'the log',
        measured => sprintf('%.1f ms', $took),
        value    => $took,
        floor    => 100, aim => 10, unit => ' ms', less => 1,
        detail   => sprintf('%d files with %.2fM events', scalar @files,
            $events / 1e6),
    };
}


sub event_of {
    my ($i) = @_;

    return sprintf '{"user_id":"%020d","event_type":"page_view",'
        . '"metadata":{"path":"/some/page/%06d","ms":%d}}', $i, $i, $i;
}


sub asked {
    my ($self, $what, $nginx, $query) = @_;

    say_progress($what);

    my @users = map { /"user_id":"(.*?)"/ } split /\n/,
        read_file(lines_of_events('asked', ASKED, PEOPLE));

    my $said = run_process(sub {
        my $http = HTTP::Tiny->new(keep_alive => 1);
        my (@took, $rows);

        for my $user (@users) {
            my $url   = $nginx->url("/foun/list?user_id=$user&$query");
            my $since = time;
            my $answer = $http->get($url);

            push @took, 1000 * (time - $since);

            die "$answer->{status} $answer->{content}\n"
                unless $answer->{success};

            $rows += () = $answer->{content} =~ /"id":/g;
        }

        @took = sort { $a <=> $b } @took;
        printf "ASKED %.3f %.3f %.1f\n", $took[0.99 * @took],
            $took[@took / 2], $rows / @took;
    }, cpus => [$self->{load}]);

    my ($p99, $p50, $rows) = $said =~ /^ASKED (\S+) (\S+) (\S+)/m
        or die "asking failed: $said\n";

    return {
        what     => $what,
        measured => sprintf('%.1f ms', $p99),
        value    => $p99,
        floor    => 50, aim => 5, unit => ' ms', less => 1,
        detail   => sprintf('median %.1f ms, %.0f events; %d events/s came '
            . 'in', $p50, $rows, PACE * 1000),
    };
}


1;
