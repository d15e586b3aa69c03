package Bench::Rows;

# Copyright (C) The nginx analytics authors

# The rows of the table: each starts the servers that it compares, measures
# them, and says what came out.

use strict;
use warnings;

use Bench::Events;
use Bench::Feed;
use Bench::Nginx;
use Bench::Process;
use Bench::Slices;
use Time::HiRes qw(sleep time);

# in this order
our @ROWS = qw(post batches get large workers memory);

use constant {
    USERS    => 100_000,        # of the zones that are asked
    PRELOAD  => 1000,           # batches
    MEMORY_USERS => 1_000_000,
    LARGE    => 50_000_000,     # bytes
    PAUSE    => 5,              # ms between small requests, on average
    SMALL    => 16,             # connections that ask
};


# module, baseline   paths of modules
# peer               folder of peer.lua
# wrk                folder of wrk's scripts
# rounds, seconds    how many slices, and how long
# server, load       processors

sub new {
    my ($class, %arg) = @_;

    return bless {%arg}, $class;
}


sub formats {
    return <<'CONF';
    analytics_format event {
        user        user_id;
        type        event_type;
        time        timestamp;
        properties  metadata;
    }
CONF
}


# Zones with their sizes, and routes below the name of each.  With "log", the
# directives about it, each has one in a folder of its name.

sub ours {
    my ($self, $zones, %arg) = @_;

    my $log = delete $arg{log};
    my $http = formats();
    my $server = "        location = /health { analytics_health; }\n";

    for my $zone (sort keys %$zones) {
        my $path = defined $log ? "path $zone; $log" : '';

        $http .= "    analytics_zone $zone $zones->{$zone} { $path }\n";

        $server .= <<"CONF";
        location = /$zone/events/ { analytics_collect $zone format=event; }
        location = /$zone/total   { analytics_stats $zone total; }
        location = /$zone/by-type { analytics_stats $zone by_type; }
CONF
    }

    my $nginx = Bench::Nginx->start(
        modules => [$self->{module}], cpus => [$self->{server}],
        http => $http, server => $server, %arg
    );

    for my $zone (keys %$zones) {
        wait_until(sub { $nginx->is_ready($zone) })
            or die "zone $zone is not ready:\n", read_file($nginx->log);
    }

    return $nginx;
}


sub slice {
    my ($self, $nginx, $path, $script, %arg) = @_;

    return sub {
        my ($round) = @_;

        return wrk(
            nginx => $nginx, path => $path, script => $script,
            wrk => $self->{wrk}, cpus => [$self->{load}], seed => $round,
            seconds => $round ? $self->{seconds} : 1, %arg
        );
    };
}


sub preload {
    my ($self) = @_;

    return $self->{preload} //= do {
        say_progress('making a million events');
        requests_of_batches('preload', '/XXXX/events/', PRELOAD, USERS);
    };
}


# The requests name the zone by four letters, to be set here.

sub fill {
    my ($self, $nginx, $zone, $times) = @_;

    my $file = $self->address($self->preload, $zone);

    say_progress("filling zone $zone, $times times");

    feed(port => $nginx->port, file => $file, cpus => [$self->{load}],
        count => $times * @{ $file->{at} });

    $self->check_total($nginx, $zone, $times * $file->{events}, USERS);
}


sub address {
    my ($self, $file, $zone) = @_;

    open my $fh, '+<:raw', $file->{path} or die "$file->{path}: $!\n";

    for my $at (@{ $file->{at} }) {
        seek $fh, $at->[0] + length 'POST /', 0;
        print {$fh} $zone;
    }

    close $fh or die "$file->{path}: $!\n";

    return $file;
}


sub check_total {
    my ($self, $nginx, $zone, $events, $users) = @_;

    my $total = $nginx->get_json("/$zone/total");

    die "zone $zone holds $total->{total_events} events of "
        . "$total->{unique_users} users instead of $events of $users\n"
        unless $total->{total_events} == $events
            && $total->{unique_users} == $users;
}


# Whether it was the server alone that was measured: warns, and returns what
# to say beside the figure.

sub check_load {
    my ($self, $what, $result) = @_;

    my $said = '';

    for my $name (sort keys %$result) {
        my ($busy, $others) = map { $_ ? median(@$_) : undef }
            @{ $result->{$name} }{qw(busy others)};

        if (defined $others && $others > Bench::Slices::OTHER) {
            $said = '; disturbed by other processes';
            say_progress(sprintf 'warning: %s, %s: other processes took '
                . '%.0f %% of a processor', $what, $name, 100 * $others);

        } elsif (defined $busy && $busy < Bench::Slices::BUSY) {
            $said ||= '; limited by wrk';
            say_progress(sprintf 'warning: %s, %s: the server\'s processor '
                . 'was busy only %.0f %%: wrk is the bottleneck', $what, $name,
                100 * $busy);
        }
    }

    return $said;
}


sub rate {
    my ($rate) = @_;

    return $rate >= 999_500 ? sprintf('%.2fM', $rate / 1e6)
        : $rate >= 10_000 ? sprintf('%.0fk', $rate / 1e3)
        : sprintf('%.1fk', $rate / 1e3);
}


# A row out of a ratio, and how it compares by the processor's time.

sub row {
    my ($self, %arg) = @_;

    my ($result, $one, $two) = @arg{qw(result one two)};

    my $r = ratio($result, $one, $two, 'rate');
    my $factor = $arg{factor} // 1;
    my $digits = $r->{ratio} > 2 ? 1 : 2;

    my $cpu = median(@{ $result->{$two}{cpu} })
        / median(@{ $result->{$one}{cpu} });

    my $load = $self->check_load($arg{what}, $result);

    return {
        what     => $arg{what},
        measured => sprintf('%.*f%s', $digits, $r->{ratio}, $arg{unit} // ''),
        value    => $r->{ratio},
        detail   => sprintf(
            '%.*f to %.*f; %s/s against %s/s; by time on the processor %.*f',
            $digits, $r->{low}, $digits, $r->{high},
            rate($factor * median(@{ $result->{$one}{rate} })),
            rate($factor * median(@{ $result->{$two}{rate} })), $digits, $cpu)
            . $load,
        %{ $arg{mark} },
    };
}


# One event a request, against an nginx that does nothing with the body.

sub post {
    my ($self) = @_;

    my $ours = $self->ours({ post => '128m' });

    return $self->post_against_bare($ours, 'post', 'POST of one event',
        { floor => 0.80, aim => 0.92 });
}


sub post_against_bare {
    my ($self, $ours, $zone, $name, $mark) = @_;

    my ($bare, $events) = $self->bare($ours, $zone);
    my @rows;

    for my $n (16, 64, 256) {
        my $what = "$name, $n connections, against bare nginx";
        my %arg  = (connections => $n, args => [$events]);

        my $result = measure($what, $self->{rounds},
            ours => $self->slice($ours, "/$zone/events/", 'post.lua', %arg),
            bare => $self->slice($bare, '/events/', 'post.lua', %arg));

        push @rows, $self->row(what => $what, result => $result, one => 'ours',
            two => 'bare', mark => $mark);
    }

    $_->discard for $ours, $bare;

    return @rows;
}


# An nginx that reads an event and answers what we do, and a file of events.

sub bare {
    my ($self, $ours, $zone) = @_;

    my $events = lines_of_events('events', 10_000, USERS);

    # what we answer after a million events, as long as it will be answered

    $self->fill($ours, $zone, 1);

    my ($event) = read_file($events) =~ /^(.*)/;
    my $answer  = $ours->post("/$zone/events/", $event)->{content};

    my $bare = Bench::Nginx->start(
        modules => [$self->{baseline}], cpus => [$self->{server}],
        server => "location = /events/ { bench_collect '$answer'; }"
    );

    die "the answers differ in length\n"
        unless raw_length($ours, "/$zone/events/", $event)
            == raw_length($bare, '/events/', $event);

    return ($bare, $events);
}


# Bytes of a whole answer, header and all.

sub raw_length {
    my ($nginx, $path, $event) = @_;

    my $socket = IO::Socket::INET->new('127.0.0.1:' . $nginx->port)
        or die "cannot connect: $@\n";

    print {$socket} "POST $path HTTP/1.1\r\nHost: localhost\r\n"
        . "Content-Type: application/json\r\nConnection: close\r\n"
        . 'Content-Length: ' . length($event) . "\r\n\r\n$event";

    local $/;
    my $answer = <$socket>;

    return length $answer;
}


# Lists, against what one would write in Lua.

sub batches {
    my ($self) = @_;

    say_progress('making lists of events');

    my $few  = lines_of_batches('few', 8, 1000);
    my $many = lines_of_batches('many', 200, 200_000);

    my $ours = $self->ours({ few => '128m', many => '128m' });
    my $peer = Bench::Nginx->start(
        modules => [map { "/usr/lib/nginx/modules/$_" } 'ndk_http_module.so',
            'ngx_http_lua_module.so'],
        cpus => [$self->{server}],
        http => "lua_shared_dict stats 256m;\n"
            . "    lua_package_path '$self->{peer}/?.lua;;';\n"
            . "    init_by_lua_block { require 'peer' }",
        server => <<'CONF'
        location = /events/ {
            content_by_lua_block { require("peer").collect() }
        }

        location = /total {
            content_by_lua_block { require("peer").total() }
        }
CONF
    );

    my $what = 'lists of 1000 events, events/s';
    my %few  = (connections => 8, args => [$few]);
    my %many = (connections => 8, args => [$many]);

    my $result = measure($what, $self->{rounds},
        ours => $self->slice($ours, '/few/events/', 'post.lua', %few),
        peer => $self->slice($peer, '/events/', 'post.lua', %few),
        many => $self->slice($ours, '/many/events/', 'post.lua', %many),
        peer_many => $self->slice($peer, '/events/', 'post.lua', %many));

    for my $total ($ours->get_json('/few/total'), $peer->get_json('/total')) {
        say_progress("counted: $total->{total_events} events, "
            . "$total->{unique_users} users");
    }

    $_->stop for $ours, $peer;

    return (
        $self->row(what => "$what, 1,000 users, against nginx + Lua",
            result => $result, one => 'ours', two => 'peer', factor => 1000,
            unit => ' times', mark => { floor => 3, aim => 6 }),
        $self->row(what => "$what, 200,000 users, against nginx + Lua",
            result => $result, one => 'many', two => 'peer_many',
            factor => 1000, unit => ' times', mark => { floor => 3, aim => 6 })
    );
}


# A summary, against nginx's own answer with the same text; and whether it
# matters how many events were counted.

sub get {
    my ($self) = @_;

    my $ours = $self->ours({ mega => '128m', tens => '128m' });

    $self->fill($ours, 'mega', 1);
    $self->fill($ours, 'tens', 10);

    my $answer = $ours->get('/mega/by-type')->{content};

    my $bare = Bench::Nginx->start(
        cpus => [$self->{server}],
        server => "location = /by-type { default_type application/json; "
            . "return 200 '$answer'; }"
    );

    my $what = 'GET /stats/by-event-type';
    my %arg  = (connections => 64);

    my $result = measure($what, $self->{rounds},
        mega => $self->slice($ours, '/mega/by-type', 'get.lua', %arg),
        bare => $self->slice($bare, '/by-type', 'get.lua', %arg),
        tens => $self->slice($ours, '/tens/by-type', 'get.lua', %arg));

    $_->stop for $ours, $bare;

    # figures of the same thing differ by a few per cent from run to run

    return (
        $self->row(what => "$what, 20 types, 1M events, against \"return 200\"",
            result => $result, one => 'mega', two => 'bare',
            mark => { floor => 0.70, aim => 0.95 }),
        $self->row(what => "$what, 10M events against 1M", result => $result,
            one => 'tens', two => 'mega',
            mark => { floor => 0.95, aim => 0.98 })
    );
}


# Small requests while large lists come in, one after the other.
#
# The server may use all processors, as it would elsewhere, and what asks and
# posts leaves them time: were they all busy, the figure would be how long the
# system lets others run first.  So each connection waits between requests.

sub large {
    my ($self) = @_;

    say_progress('making a list of 50 MB');

    my $list = file_of_large_list('large', '/large/events/', LARGE, USERS);

    return map { $self->large_with($list, $_) } 1, 2;
}


sub large_with {
    my ($self, $list, $workers) = @_;

    my $cpus = [$self->{server}, $self->{load}];
    my $ours = $self->ours({ large => '128m' }, workers => $workers,
        cpus => $cpus);

    my $ask = $self->slice($ours, '/large/total', 'get.lua',
        connections => SMALL, args => [PAUSE], cpus => $cpus);
    my $alone = sub { $self->without_others($ours, $cpus, @_) };

    my $what = 'p99 of small GETs while lists of 50 MB come in, '
        . ($workers == 1 ? '1 worker' : "$workers workers");
    my @posted;

    my $result = measure($what, $self->{rounds},
        without => sub { $alone->($ask, @_) },
        while   => sub {
            my ($round) = @_;

            return $alone->(sub {
                my $feed = feed_start(port => $ours->port, file => $list,
                    connections => 1, cpus => $cpus);
                my $slice = $ask->($round);
                my $fed = feed_stop($feed);

                push @posted, $fed->{requests} / $fed->{seconds};
                return $slice;
            });
        });

    # the server need not be busy here
    delete $_->{busy} for values %$result;

    my $load = $self->check_load($what, $result);
    $ours->stop;

    my ($without, $while) = map { median(@{ $result->{$_}{p99} }) / 1000 }
        'without', 'while';

    return {
        what     => $what,
        measured => sprintf('%+.1f ms', $while - $without),
        value    => $while - $without,
        floor    => 5, aim => 1, unit => ' ms', less => 1,
        detail   => sprintf(
            '%.2f ms against %.2f ms; medians of all: %.2f and %.2f ms; '
            . '%.1f lists/s',
            $while, $without,
            map({ median(@{ $result->{$_}{p50} }) / 1000 } 'while', 'without'),
            median(@posted)) . $load,
    };
}


# A slice, and how much others did on all processors meanwhile: where these
# are not all for one server, that is what disturbs.

sub without_others {
    my ($self, $nginx, $cpus, $run, @arg) = @_;

    my $count = sub {
        return busy_seconds(@$cpus) - own_seconds()
            - cpu_seconds($nginx->workers);
    };

    my ($since, $others) = (time, $count->());
    my $slice = $run->(@arg);

    $slice->{others} = ($count->() - $others) / (time - $since);

    return $slice;
}


# Two workers on two processors against one.
#
# What posts needs a processor, too, and there may be no third.  So one worker
# is measured twice: while the posting process has the other processor for
# itself, which is one worker at its best; and while it shares the worker's,
# as it must with two workers.  The first is the figure; the second says how
# two workers scale when each has the same processor to work with.

sub workers {
    my ($self) = @_;

    my ($server, $load) = @$self{qw(server load)};

    my $one = $self->ours({ scal => '128m' });
    my $two = $self->ours({ scal => '128m' }, workers => 2,
        cpus => [$server, $load]);

    $self->fill($_, 'scal', 1) for $one, $two;

    my $what   = 'lists of 1000 events, two workers against one';
    my $flood  = sub {
        my ($nginx, @from) = @_;

        return sub {
            my ($round) = @_;

            return $self->without_others($nginx, [$server, $load],
                sub { $self->flood($nginx, $round, @from) });
        };
    };

    my $result = measure($what, $self->{rounds},
        two    => $flood->($two, $server, $load),
        one    => $flood->($one, $load),
        shared => $flood->($one, $server));

    $_->stop for $one, $two;

    my %mark = (mark => { floor => 1.6, aim => 1.9 }, factor => 1000,
        result => $result, one => 'two', unit => ' times');

    return (
        $self->row(what => $what, two => 'one', %mark),
        $self->row(what => "$what, the sender on the worker's processor",
            two => 'shared', %mark),
    );
}


# A slice of lists, from processes on each of the processors.

sub flood {
    my ($self, $nginx, $round, @cpus) = @_;

    my @pids = $nginx->workers;
    my $file = $self->preload;
    my $cpu  = cpu_seconds(@pids);
    my $i    = 0;

    my @feeds = map {
        feed_start(port => $nginx->port, file => $file, connections => 24,
            cpus => [$_], from => 500 * $i++)
    } @cpus;

    sleep($round ? $self->{seconds} : 1);

    my @fed = map { feed_stop($_) } @feeds;
    my ($rate, $requests) = (0, 0);

    for my $fed (@fed) {
        $rate += $fed->{requests} / $fed->{seconds};
        $requests += $fed->{requests};
    }

    return {
        rate => $rate,
        cpu  => (cpu_seconds(@pids) - $cpu) / ($requests || 1),
    };
}


# What a million users take in the zone.

sub memory {
    my ($self) = @_;

    say_progress('making a million users');

    my $file = file_of_users('users', '/memo/events/', MEMORY_USERS);
    my $ours = $self->ours({ memo => '256m' });

    my $before = $ours->get_json('/health')->{zones}{memo};

    feed(port => $ours->port, file => $file, cpus => [$self->{load}]);

    my $after = $ours->get_json('/health')->{zones}{memo};

    $ours->stop;

    die "$after->{users} users are in the zone instead of @{[ MEMORY_USERS ]}\n"
        unless $after->{users} == MEMORY_USERS && $after->{exact};

    my $bytes = ($after->{memory_used} - $before->{memory_used}) / MEMORY_USERS;

    return {
        what     => 'a user, of 1M with ids of 20 bytes and 3 types each',
        measured => sprintf('%.0f bytes', $bytes),
        value    => $bytes,
        detail   => sprintf('%.0f MiB used of %.0f MiB with 1M users',
            map { $_ / 2**20 } @$after{qw(memory_used memory_size)}),
    };
}


1;
