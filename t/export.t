# Copyright (C) The nginx analytics authors

# What is exported can be read by what reads such files, compressed or not,
# and posted again: then everything is answered as before.  However much it
# is, and whoever leaves in the middle, it costs no memory and nobody else.

use strict;
use warnings;

use Fcntl qw(:flock);
use IO::Socket::INET;
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use JSON::PP ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;

use Analytics::Finder;
use Analytics::Test;

my $MB   = 1024 * 1024;
my $MANY = 300_000;

my %TYPE = (
    ndjson => 'application/x-ndjson',
    json   => 'application/json',
    csv    => 'text/csv; charset=utf-8',
);

my $nginx = Analytics::Test->new(
    zone => '32m', path => 1, log => 'store on; sync off;',
    http => join('', map {
        "analytics_zone $_ 16m { path %DIR%/$_; store on; sync off; }\n"
    } qw(twin list)),
    locations => <<'CONF' . join('', map { <<"CONF" } qw(twin list)),
        location = /zipped {
            gzip on;
            gzip_types application/x-ndjson application/json text/csv;

            analytics_export site format=event;
        }
CONF
        location = /$_/events/ { analytics_collect $_ format=event; }
        location = /$_/events/export { analytics_export $_ format=event; }
        location = /$_/stats/total { analytics_stats $_ total; }
        location = /$_/stats/by-event-type { analytics_stats $_ by_type; }
        location = /$_/stats/by-user { analytics_stats $_ by_user; }
        location = /$_/stats/over-time { analytics_stats $_ over_time; }
        location /$_/stats/user-activity/ { analytics_stats $_ user; }
CONF
)->start;

my $json   = JSON::PP->new->canonical;
my $finder = Analytics::Finder->new;


# Names and properties that such files trip over; these are bytes, as sent.

my @USERS = ('ann', 'a,b', 'say "hi"', '"', '""', ',', "l'a", '-5', '0', '12',
    '=1+1', '+1', '-1+1', '-5.5', '-', '@SUM(A1)', '=HYPERLINK("x","y")',
    '=a,"b"', "'=1", ' =1', "\xc3\xa9\xe2\x82\xac", 'a;b', 'a\\b',
    '<b>&amp;');
my @TYPES = ('login', 'page,view', '=cmd|\' /C calc\'!A0', '"quoted"', '-7');
my @PROPERTIES = ('', '{}', '{"a":1}', '{"a":"x,y;z","b":"\\"q\\""}',
    "{\n  \"a\": 1,\r\n\t\"b\": [\n1,\n2 ]\n}", '{"a":"\\n\\r\\u0000"}',
    "{\"\xc3\xa9\":\"\xe2\x80\xa8 , \xf0\x9f\x98\x80\"}",
    '{"big":12345678901234567890.5e300,"f":1.0,"e":"=1+1"}');

my $EPOCH = 1_700_000_000_000_000;
my $id    = 1;

for my $list (1 .. 3) {
    my @events;

    for (0 .. 959) {
        my $user = $USERS[$_ % @USERS];
        my $type = $TYPES[$_ * 7 % @TYPES];
        my $properties = $PROPERTIES[$_ * 5 / 3 % @PROPERTIES];
        my $time = $EPOCH + $_ * 7919 % 1009 * 43_200_250_000
            * ($list - 1) + $_ * 1000;

        $finder->add($id++, $user, $type, $time, 0, $properties);

        push @events, '{"user_id":' . Analytics::Finder::string($user)
            . ',"event_type":' . Analytics::Finder::string($type)
            . ',"timestamp":"' . Analytics::Finder::instant($time) . '"'
            . ($properties ? ",\"metadata\":$properties" : '') . '}';
    }

    is $nginx->post('/events/', '[' . join(",\n", @events) . ']')->{status},
        201, 'posted';
}


# RFC 4180, read as it is written there.

sub read_csv {
    my ($text) = @_;

    my (@rows, @row);

    while ($text =~ /\G(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/gc) {
        my ($quoted, $plain, $end) = ($1, $2, $3);

        push @row, defined $quoted ? $quoted =~ s/""/"/gr : $plain;
        push @rows, [splice @row] if $end eq "\r\n";
    }

    die 'no CSV from byte ' . (pos $text // 0) . ' on: '
        . substr($text, pos $text // 0, 100) . "\n"
        if @row || (pos $text // 0) < length $text;

    return \@rows;
}


# What would be a formula begins with an apostrophe; an integer is none.

sub cell {
    my ($text) = @_;

    return $text =~ /^[=+\-@]/ && $text !~ /^-\d+$/ ? "'$text" : $text;
}


# Texts that others have read, as characters.

sub chars {
    my ($text) = @_;

    utf8::decode($text);

    return $text;
}


# Rows, from what a reader of that format makes of it, or from the finder.

sub read_rows {
    my ($format, $body) = @_;

    return read_csv($body) if $format eq 'csv';

    my $events = $format eq 'json' ? data($body)
        : [map { data($_) } split /\n/, $body];

    return [map { my $event = $_;
        [@$event{qw(id user_id event_type timestamp)},
            canonical($event->{metadata})]
    } @$events];
}


sub rows_of {
    my ($format, $found) = @_;

    my @rows = map {
        my $i = $_;

        [$finder->{id}[$i], $finder->{user}[$i], $finder->{type}[$i],
            Analytics::Finder::instant($finder->{time}[$i]),
            $finder->{properties}[$i]];
    } @$found;

    return [[qw(id user_id event_type timestamp metadata)],
        map { [$_->[0], cell($_->[1]), cell($_->[2]), @$_[3, 4]] } @rows]
        if $format eq 'csv';

    return [map { [$_->[0], chars($_->[1]), chars($_->[2]), $_->[3],
        canonical(data($_->[4] || '{}'))] } @rows];
}


my ($all) = $finder->find;

for my $format (sort keys %TYPE) {

    subtest "a reader of $format has every event as it was posted" => sub {
        my $answer = $nginx->get("/events/export?format=$format");

        is $answer->header('Content-Type'), $TYPE{$format}, 'its type';
        is $answer->header('Content-Disposition'),
            "attachment; filename=\"events.$format\"", 'and name';

        my $rows = eval { read_rows($format, $answer->{body}) };

        ok $rows, 'it can be read' or diag $@;
        is scalar @$rows, @$all + ($format eq 'csv'), 'all events are there';
        is_deeply $rows, rows_of($format, $all), 'as they were';
    };


    subtest "gzip: the same $format, compressed" => sub {
        my $plain = $nginx->get("/zipped?format=$format");

        is $plain->header('Content-Encoding'), undef, 'who does not ask';

        my $answer = $nginx->get("/zipped?format=$format",
            headers => ['Accept-Encoding: gzip']);

        is $answer->header('Content-Encoding'), 'gzip', 'who asks';
        is $answer->header('Content-Type'), $TYPE{$format}, 'of its type';
        is $answer->header('Content-Disposition'),
            "attachment; filename=\"events.$format\"", 'and name';
        cmp_ok length $answer->{body}, '<', length($plain->{body}) / 3,
            'it is smaller';

        ok gunzip(\$answer->{body}, \my $body, MultiStream => 1),
            'it is inflated' or diag $GunzipError;
        ok $body eq $plain->{body}, 'to the same';
    };


    subtest "filters of $format" => sub {
        for (
            [{ user => 'a,b' }, 'user_id=a,b'],
            [{ user => '=1+1', order => 'desc' },
                'user_id=%3D1%2B1&order=desc'],
            [{ type => '-7' }, 'event_type=-7'],
            [{ from => $EPOCH, to => $EPOCH + 25_000 },
                'from=2023-11-14T22:13:20Z&to=2023-11-14T22:13:20.025Z'],
            [{ user => 'nobody' }, 'user_id=nobody'],
        ) {
            my ($q, $args) = @$_;

            my $answer = $nginx->get("/events/export?$args&format=$format");
            my ($found) = $finder->find(%$q);

            is_deeply read_rows($format, $answer->{body}),
                rows_of($format, $found), @$found . " of $args";
        }
    };
}


# Ids are given by who takes an event.

sub without_ids {
    return $_[0] =~ s/^(\{)"id":\d+,/$1/gmr;
}


for (['ndjson', 'twin'], ['json', 'list']) {
    my ($format, $zone) = @$_;

    subtest "what was exported as $format can be posted again" => sub {
        my $body = $nginx->get("/events/export?format=$format")->{body};

        ok $nginx->ready($zone), 'there is another zone';

        my $answer = $nginx->post("/$zone/events/", $body,
            type => $TYPE{$format});

        is $answer->{body}, sprintf(
            '{"accepted":%d,"first_id":1,"last_id":%1$d}', scalar @$all),
            'all are taken';

        for my $path ('total', 'by-event-type', 'by-user?limit=100',
            'over-time?start=2023-11-14&end=2025-04-01',
            map { 'user-activity/' . s/([^A-Za-z0-9])/sprintf '%%%02X',
                ord $1/ger } @USERS)
        {
            is_json $nginx->get("/$zone/stats/$path"),
                $nginx->json("/stats/$path"), $path;
        }

        # in lines there are no ends of lines, but in an array there may be

        for my $again ('ndjson', $format eq 'json' ? 'json' : ()) {
            my @got = map { without_ids(
                $nginx->get("$_/events/export?format=$again")->{body})
            } '', "/$zone";

            ok $got[0] eq $got[1], "the same $again, apart from ids";
        }
    };
}


# Parts of an answer, as they come.

sub begin {
    my ($server, $path) = @_;

    # a small buffer, so that the server has to wait

    my $socket = IO::Socket::INET->new(Proto => 'tcp') or die "$@\n";

    $socket->sockopt(Socket::SO_RCVBUF(), 8192);
    connect $socket, Socket::pack_sockaddr_in($server->port,
        Socket::inet_aton('127.0.0.1')) or die "connect: $!\n";

    syswrite $socket, "GET $path HTTP/1.0\r\nHost: a\r\n\r\n";

    sysread $socket, my $begin, 1000;

    return ($socket, $begin);
}


# Hands what comes to a function, to the end.

sub drain {
    my ($socket, $take) = @_;

    while (1) {
        my $n = sysread $socket, my $more, 262_144;

        die "read: $!\n" unless defined $n;
        last unless $n;

        $take->($more);
    }
}


sub rss {
    my ($pid) = @_;

    my $status = Analytics::Test::read_file("/proc/$pid/status");

    return $status =~ /^RssAnon:\s+(\d+) kB/m ? $1 * 1024
        : die "no RssAnon of $pid\n";
}


sub connections {
    return scalar grep { (readlink // '') =~ /^socket:/ }
        glob "/proc/$_[0]/fd/*";
}


$nginx->stop;


# Many events, all in parts of the store: what is in the log behind them is
# sorted in memory.

my $big = Analytics::Test->new(
    zone => '64m', path => 1, log => 'store on; sync off;', workers => 1,
)->start;
my $client = $big->connect;

my $next = 0;

sub post_many {
    my ($n) = @_;

    while ($n > 0) {
        my $some = $n < 5000 ? $n : 5000;

        my $body = join "\n", map { sprintf
            '{"user_id":"u%d","event_type":"t%d","timestamp":"%s",'
                . '"metadata":{"n":%d,"path":"/some/page/of/a/site"}}',
            $_ * 7919 % 10_007, $_ % 7,
            '2024-01-' . sprintf('%02dT%02d:%02d:%02dZ', 1 + $_ * 31 % 28,
                $_ * 17 % 24, $_ * 13 % 60, $_ % 60), $_
        } $next .. $next + $some - 1;

        my $answer = $client->request(POST => '/events/', body => $body,
            type => 'application/x-ndjson');

        die "not taken: $answer->{body}\n" if $answer->{status} != 201;

        $next += $some;
        $n    -= $some;
    }
}


sub behind { return $big->health->{store}{behind_events} }

post_many(150_000);
ok wait_for(sub { behind() < 32_768 }), 'half of them are in the store';

post_many($MANY - 150_000);
ok wait_for(sub { behind() < 32_768 }), 'and the others';

post_many(32_768 - behind());
ok wait_for(sub { behind() < 1000 }), 'and what was left';

my $lease;


# Whoever fills the store keeps the right to until nothing is to be done.

sub hold_store {
    return wait_for(sub {
        open $lease, '+<', $big->dir . '/data/lock.store'
            or die "lock.store: $!\n";
        return flock $lease, LOCK_EX | LOCK_NB;
    });
}


ok hold_store(), 'no part is being made';
close $lease;

# a new worker has taken no memory for any of this

$client->close;
$big->stop;
$big->start;
$client = $big->connect;

ok wait_for(sub { behind() < 1000 }), 'it knows the store';
ok hold_store(), 'and has nothing to do there';

my ($worker) = $big->workers;


subtest 'an export of any length takes no memory' => sub {
    plan skip_all => 'sanitizers have memory of their own'
        if $ENV{ANALYTICS_PRELOAD};

    # the parts are open, and threads are there

    $client->request(GET => '/events/export?user_id=u1') for 1 .. 20;

    my $before = rss($worker);
    my $most   = 0;

    for my $format ('ndjson', 'csv', 'json') {
        my ($lines, $read) = (0, 0);

        my ($socket, $begin) = begin($big, "/events/export?format=$format");

        drain($socket, sub {
            my $rss = rss($worker);

            $most   = $rss if $rss > $most;
            $lines += $_[0] =~ tr/\n//;
            $read  += length $_[0];
        });

        $lines += $begin =~ s/.*?\r\n\r\n//sr =~ tr/\n//;

        is $lines, $next + { ndjson => 0, csv => 1, json => 2 }->{$format},
            sprintf 'all events as %s, %.1f MB', $format, $read / $MB;
    }

    note sprintf '%.1f MB before, %.1f MB at most', map { $_ / $MB } $before,
        $most;

    cmp_ok $most - $before, '<', 8 * $MB, 'in less than 8 MB more';
};


subtest 'who leaves in the middle does not disturb who stays' => sub {
    my $path     = '/events/export?event_type=t1&order=desc';
    my $others   = connections($worker);
    my $expected = $big->get($path)->{body};

    my ($stays, $body) = begin($big, $path);

    my @leave = map { (begin($big, '/events/export'))[0] } 1 .. 30;

    for (0 .. $#leave) {

        # half of them with a reset, as when a machine goes

        setsockopt $leave[$_], SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0
            if $_ % 2;
        close $leave[$_];

        sysread $stays, $body, 20_000, length $body;
    }

    drain($stays, sub { $body .= $_[0] });
    close $stays;

    ok $body =~ s/.*?\r\n\r\n//sr eq $expected, 'it has all of its events';
    is_deeply [$big->workers], [$worker], 'from the same worker';

    ok wait_for(sub { connections($worker) <= $others }),
        'no connection is left';
};


close $lease;
$client->close;
$big->stop;


# Without a store, what is asked for is sorted in memory: not all at once.

subtest 'without a store it takes a bounded memory' => sub {
    plan skip_all => 'sanitizers have memory of their own'
        if $ENV{ANALYTICS_PRELOAD};

    my $plain = Analytics::Test->new(zone => '16m', path => 1,
        log => 'sync off;', workers => 1)->start;
    my $list = join "\n", map { sprintf
        '{"user_id":"u%d","event_type":"t","timestamp":"2024-01-01T00:%02d:00Z"'
            . ',"metadata":{"pad":"%s"}}', $_, $_ * 7 % 60, 'x' x 1000
    } 1 .. 5000;

    $plain->post('/events/', $list, type => 'application/x-ndjson')->{status}
        == 201 or die "not taken\n" for 1 .. 22;

    my ($pid) = $plain->workers;
    my ($before, $most, $events, $wrong, $last) = (rss($pid), 0, 0, 0, '');
    my ($socket, $rest) = begin($plain, '/events/export');

    drain($socket, sub {
        my $rss = rss($pid);

        $most  = $rss if $rss > $most;
        $rest .= $_[0];

        # by time and then by id, none missing and none twice

        while ($rest =~ /"id":(\d+),.*?"timestamp":"([^"]+)".*\n/g) {
            my $at = sprintf '%s %09d', $2, $1;

            $events++;
            $wrong++ if $at le $last;
            $last = $at;
        }

        substr $rest, 0, 1 + rindex($rest, "\n"), '';
    });

    is $events, 110_000, 'all events';
    is $wrong, 0, 'in their order';

    note sprintf '%.1f MB before, %.1f MB at most', map { $_ / $MB } $before,
        $most;

    cmp_ok $most - $before, '<', 90 * $MB, 'a part of them at a time';

    $plain->stop;
};


done_testing;
