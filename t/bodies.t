# Copyright (C) The nginx analytics authors

# However a body arrives, it is the same body.

use strict;
use warnings;

use IO::Compress::Gzip qw(gzip);
use Test::More;

use Analytics::Client;
use Analytics::Oracle;
use Analytics::Test;

# buffers so small that nearly every body is in several, or in a file

my $nginx = Analytics::Test->new(
    workers => 1, body => '80m', buffer => '2k',
    locations => <<'CONF',
        location = /large/ {
            client_body_buffer_size 1m;
            analytics_collect site format=event;
        }

        location = /file/ {
            client_body_in_file_only clean;
            analytics_collect site format=event;
        }

        location = /single/ {
            client_body_buffer_size 1m;
            client_body_in_single_buffer on;
            analytics_collect site format=event;
        }

        location = /memory/ {
            client_body_buffer_size 80m;
            analytics_collect site format=event;
        }

        location = /capped/ {
            client_max_body_size 100k;
            client_body_buffer_size 1m;
            analytics_collect site format=event;
        }

        location = /uncapped/ {
            client_max_body_size 0;
            client_body_buffer_size 1m;
            analytics_collect site format=event;
        }
CONF
)->expect_log(qr/\[error\].*client intended to send too large/)->start;

my $stored = 0;

my @events = Analytics::Oracle::random_events(3, 500, 60, 5, 1735689600, 1e6);
my $LIST   = '[' . join(',', map {
    sprintf '{"user_id":"%s","event_type":"%s","timestamp":"%s",'
        . '"metadata":{"text":"%s"}}', $_->{user}, $_->{type},
        Analytics::Oracle::instant($_->{time}), 'x' x ($_->{time} % 90)
} @events) . ']';

gzip(\$LIST, \my $ZIPPED) or die;


# The list, posted in some way: all of it must be stored.

sub stored {
    my ($name, $answer) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($first, $last) = ($stored + 1, $stored + @events);

    is $answer && $answer->{body}, sprintf('{"accepted":%d,"first_id":%d,'
        . '"last_id":%d}', scalar @events, $first, $last), $name;

    # a refusal is one failure, not one of each test behind it

    $stored = $last if $answer && $answer->{status} == 201;
}


subtest 'from memory or from a file' => sub {
    for my $path (qw(/events/ /large/ /file/ /single/ /uncapped/)) {
        stored("Content-Length, $path", $nginx->post($path, $LIST));

        for my $size (1, 7, 100, 1000, 5000, 1e6) {
            stored("in chunks of $size, $path", $nginx->post($path,
                Analytics::Client::chunked($LIST, $size),
                headers => ['Transfer-Encoding: chunked']));
        }
    }
};


subtest 'small bodies around the size of the buffer' => sub {
    my $event = '{"user_id":"u","event_type":"t","metadata":{"text":""}}';
    my $client = $nginx->connect;
    my @bad;

    for my $length (1 .. 200, 900 .. 1100, 1800 .. 2200, 4000 .. 4200) {
        next if $length < length $event;

        my $text = 'y' x ($length - length $event);
        my $body = $event =~ s/""/"$text"/r;

        my $answer = $client->request('POST', '/events/', body => $body,
            type => 'application/json');

        $stored++;

        push @bad, $length unless $answer->{status} == 201
            && $answer->json->{metadata}{text} eq $text;
    }

    is "@bad", '', 'every length is right';
};


subtest 'in pieces, slowly' => sub {
    my $client = $nginx->connect;
    my $bytes  = Analytics::Client::format_request('POST', '/large/',
        type => 'application/json', body => $LIST);

    # the event loop turns between the pieces: it answers others

    my $piece = int(length($bytes) / 20) + 1;

    for (my $at = 0; $at < length $bytes; $at += $piece) {
        $client->send_raw(substr $bytes, $at, $piece);
        is $nginx->get('/health')->{status}, 200, 'others are served' if $at;
    }

    stored('a slow client', $client->response('POST'));

    my $chunked = Analytics::Client::format_request('POST', '/events/',
        type => 'application/json',
        body => Analytics::Client::chunked($LIST, 3000),
        headers => ['Transfer-Encoding: chunked']);

    for (my $at = 0; $at < length $chunked; $at += 2999) {
        $client->send_raw(substr $chunked, $at, 2999);
        $nginx->get('/health');
    }

    stored('a slow client, in chunks', $client->response('POST'));
};


subtest 'pipelined' => sub {
    my $client = $nginx->connect;

    $client->send_raw(join '', map {
        Analytics::Client::format_request('POST', $_,
            type => 'application/json', body => $LIST),
        Analytics::Client::format_request('GET', '/stats/total')
    } qw(/large/ /events/ /file/));

    for my $path (qw(/large/ /events/ /file/)) {
        stored("POST $path", $client->response('POST'));

        is $client->response('GET')->json->{total_events}, $stored,
            'the GET behind it includes it';
    }
};


subtest 'Expect: 100-continue' => sub {
    my $client = $nginx->connect;

    $client->send_raw("POST /events/ HTTP/1.1\r\nHost: x\r\n"
        . "Content-Type: application/json\r\nExpect: 100-continue\r\n"
        . 'Content-Length: ' . length($LIST) . "\r\n\r\n");

    is $client->response('POST')->{status}, 100, 'go on';

    $client->send_raw($LIST);

    stored('then the body', $client->response('POST'));
};


subtest 'gzip' => sub {
    my @gzip = (headers => ['Content-Encoding: gzip']);

    for my $path (qw(/events/ /large/ /file/ /single/ /capped/ /uncapped/)) {
        stored("to $path", $nginx->post($path, $ZIPPED, @gzip));
    }

    stored('in chunks', $nginx->post('/events/',
        Analytics::Client::chunked($ZIPPED, 10), headers => [
            'Content-Encoding: gzip', 'Transfer-Encoding: chunked' ]));
    stored('in capitals', $nginx->post('/events/', $ZIPPED,
        headers => ['content-encoding: GZIP']));
    stored('identity', $nginx->post('/events/', $LIST,
        headers => ['Content-Encoding: identity']));

    is $nginx->post('/events/', $ZIPPED)->{status}, 400,
        'not told: it is not JSON';

    gzip(\'[]', \my $empty) or die;
    is $nginx->post('/events/', $empty, @gzip)->{body}, '{"accepted":0}',
        'an empty list';

    my $part = int(length($LIST) / 3);
    my $members = '';

    for my $slice ($LIST =~ /^(.{$part})(.*)\z/s) {
        gzip(\"$slice", \my $member) or die;
        $members .= $member;
    }

    my $answer = $nginx->post('/events/', $members, @gzip);

    if ($answer->{status} == 201) {
        stored('of two members', $answer);
    } else {
        is_problem $answer, 400, undef, 'two members are refused as such';
    }
};


subtest 'no larger than allowed' => sub {
    my $pad = ' ' x 102_400;

    for my $over (0, 1) {
        my $body = substr($pad, 0, 102_400 - length($LIST) + $over) . $LIST;

        gzip(\$body, \my $zipped) or die;

        my $answer = $nginx->post('/capped/', $body);
        my $inflated = $nginx->post('/capped/', $zipped,
            headers => ['Content-Encoding: gzip']);

        if (!$over) {
            stored('as large as allowed', $answer);
            stored('inflated as large as allowed', $inflated);
            next;
        }

        is $answer->{status}, 413, 'a byte more is refused';
        is_problem $inflated, 413, undef, 'a byte more when inflated, too';
    }

    my $client = $nginx->connect;

    gzip(\(' ' x 20_000_000), \my $bomb, -Level => 9) or die;

    for (1 .. 20) {
        is $client->request('POST', '/capped/', body => $bomb,
            type => 'application/json',
            headers => ['Content-Encoding: gzip'])->{status}, 413,
            'a bomb is defused';
    }

    is $client->request(GET => '/health')->{status}, 200,
        'the connection stays usable';
};


subtest 'clients that leave' => sub {
    my $request = Analytics::Client::format_request('POST', '/large/',
        type => 'application/json', body => $LIST);

    for (1 .. 50) {
        my $client = $nginx->connect;

        $client->send_raw(substr $request, 0, length($request) * $_ / 51);
        $client->close;
    }

    is $nginx->json('/stats/total')->{total_events}, $stored,
        'leave nothing behind';

    # those that leave while their answer is being made may have been stored

    my $n = 20;

    for (1 .. $n) {
        my $client = $nginx->connect;

        $client->send_raw($request);
        $client->close;
    }

    my $total;

    ok wait_for(sub {
        $total = $nginx->json('/stats/total')->{total_events};
        return ($total - $stored) % @events == 0;
    }), 'whole or not at all';

    # the last of them may still be under way: their order is not known

    my $last = -1;

    wait_for(sub {
        my $same = $total == $last;
        $last  = $total;
        $total = $nginx->json('/stats/total')->{total_events};
        return $same && $total == $last;
    });

    cmp_ok $total, '<=', $stored + $n * @events, 'none twice';
    $stored = $total;
};


my $COPIES = int(50_000_000 / length $LIST) + 1;
my $HUGE   = '[' . join(',', (substr $LIST, 1, -1) x $COPIES) . ']';
my $MANY   = $COPIES * @events;


sub served_meanwhile {
    my ($path) = @_;

    my $large = $nginx->connect;
    my $small = $nginx->connect;

    $large->send_raw(Analytics::Client::format_request('POST', $path,
        type => 'application/json', body => $HUGE));

    my ($served, $answer) = (0);

    until ($answer) {
        die "closed\n" if $large->{eof};

        $small->request(GET => '/stats/by-event-type')->{status} == 200
            and $served++;

        $large->fill(0);
        $answer = $large->take_response('POST');
    }

    is $answer->{body}, sprintf('{"accepted":%d,"first_id":%d,"last_id":%d}',
        $MANY, $stored + 1, $stored + $MANY), "all $MANY events are stored";

    cmp_ok $served, '>', 20, 'small requests are answered meanwhile';
    note "$served of them";

    $stored += $MANY;

    is $nginx->json('/stats/total')->{total_events}, $stored, 'and counted';
}


# one worker, so that it can only do both if its event loop does not work on
# the list

subtest '50 MB in a file, and others are served meanwhile' => sub {
    served_meanwhile('/events/');
};


subtest '50 MB in memory, and others are served meanwhile' => sub {
    served_meanwhile('/memory/');
};


subtest '50 MB that are refused' => sub {
    # bad at its very end: nothing of it is stored

    is_problem $nginx->post('/events/', substr($HUGE, 0, -1) . ',{}]'), 422,
        qr/user_id/, 'a bad event at the end refuses all of it';
    is_problem $nginx->post('/events/', substr($HUGE, 0, -1)), 400, undef,
        'so does a missing bracket';
    is $nginx->json('/stats/total')->{total_events}, $stored,
        'nothing of them is stored';

    # a client that leaves while its body is read in a thread

    my $leaver = $nginx->connect;

    $leaver->send_raw(Analytics::Client::format_request('POST', '/events/',
        type => 'application/json', body => $HUGE));
    $leaver->close;

    is $nginx->get('/health')->{status}, 200, 'a client that leaves is no harm';

    ok wait_for(sub {
        my @files = glob $nginx->dir . '/client_body/*';
        return !@files;
    }), 'no temporary file is left';

    ok wait_for(sub {
        my $now = $nginx->json('/stats/total')->{total_events};
        return $now == $stored || $now == $stored + $MANY;
    }), 'it is stored whole or not at all';
};


sub five_under_way {
    my $inner = substr $LIST, 1, -1;
    my $body  = '[' . join(',', ($inner) x 300) . ']';

    return map {
        my $client = $nginx->connect;

        $client->send_raw(Analytics::Client::format_request('POST', '/events/',
            type => 'application/json', body => $body));

        $client;
    } 1 .. 5;
}


subtest 'nginx ends at once, with bodies under way' => sub {
    my @clients = five_under_way();

    $nginx->stop;
};


subtest 'nginx ends gracefully, with bodies under way' => sub {
    $nginx->start;

    my @clients = five_under_way();

    # all are read, or waiting to be, when others are answered later

    is $nginx->get('/health')->{status}, 200, 'others are served';

    $nginx->stop('QUIT');

    is_json [ map { ($_->response('POST') // {})->{status} } @clients ],
        '[201,201,201,201,201]', 'each of them is answered';
};


done_testing;
