# Copyright (C) The nginx analytics authors

# What a stranger can make us spend is bounded: by the length of what was
# sent, and by what is being worked on, not by how it was made up.

use strict;
use warnings;

use IO::Compress::Gzip qw(gzip $GzipError);
use IO::Select;
use Test::More;

use Analytics::Client;
use Analytics::Test;

my $MB = 1024 * 1024;


sub gz {
    my ($text) = @_;

    gzip \$text, \my $out or die $GzipError;

    return $out;
}


# The most memory a worker has had, in bytes.

sub peak {
    my ($nginx) = @_;

    my ($most) = sort { $b <=> $a }
        map { Analytics::Test::read_file("/proc/$_/status")
            =~ /^VmHWM:\s+(\d+)/m } $nginx->workers;

    return $most * 1024;
}


# What it has now beyond shared memory.

sub now {
    my ($nginx) = @_;

    my ($most) = sort { $b <=> $a }
        map { Analytics::Test::read_file("/proc/$_/status")
            =~ /^RssAnon:\s+(\d+)/m } $nginx->workers;

    return $most * 1024;
}


subtest 'a list of what is no event takes no memory for events' => sub {
    my $nginx = Analytics::Test->new(workers => 1)->start;

    my $before = peak($nginx);
    my $answer = $nginx->post('/events/', gz('[' . '1,' x (10 * $MB) . '1]'),
        headers => ['Content-Encoding: gzip']);

    is $answer->{status}, 422, 'it is refused';
    is @{ $answer->json->{errors} }, 20, 'with the first errors';
    cmp_ok peak($nginx) - $before, '<', 200 * $MB,
        '20 MB inflated cost less than 200';

    $nginx->stop;
};


subtest 'who does not read its answer holds nothing but that' => sub {
    my $nginx = Analytics::Test->new(workers => 1)->start;

    my $names = join ',', map { sprintf '{"user_id":"%s%d","action_type":"a"}',
        'x' x 200, $_ } 1 .. 30000;
    my $body = gz("[$names]");

    my @clients = map { $nginx->connect } 1 .. 6;

    for my $client (@clients) {
        $client->send_raw(Analytics::Client::format_request('POST',
            '/usage-summary', body => $body, type => 'application/json',
            headers => ['Content-Encoding: gzip']));
    }

    # each answer is 6 MB of names; its events and the body are twice that

    ok wait_for(sub { now($nginx) > 6 * 6 * $MB }), 'all answers are there';
    ok wait_for(sub { now($nginx) < 6 * 16 * $MB }),
        'and what they were made of is not';

    $_->close for @clients;
    $nginx->stop;
};


subtest 'the properties of an event are bounded' => sub {
    my $nginx = Analytics::Test->new->start;

    for my $more (0, 1) {
        my $text = 'x' x (1024 * 1024 - length('{"a":""}') + $more);
        my $body = qq({"user_id":"u","event_type":"t","metadata":{"a":"$text"}});

        is $nginx->post('/events/', $body)->{status}, $more ? 422 : 201,
            $more ? 'one byte more' : '1 MB';
    }

    $nginx->stop;
};


subtest 'huge bodies do not keep small ones waiting' => sub {
    my $nginx = Analytics::Test->new(workers => 1, body => '200m')->start;

    my $event = '{"user_id":"u","action_type":"t","timestamp":"2025-01-01T00:00:00Z"}';
    my $huge  = '[' . join(',', ($event) x 600_000) . ']';

    my @clients = map { $nginx->connect } 1 .. 3;

    for my $client (@clients) {
        $client->send_raw(Analytics::Client::format_request('POST',
            '/usage-summary', body => $huge, type => 'application/json'));
    }

    my $answer = $nginx->post('/usage-summary', gz("[$event]"),
        headers => ['Content-Encoding: gzip']);

    is $answer->json->{total_events}, 1, 'a small compressed one is answered';

    my $select = IO::Select->new(map { $_->{socket} } @clients);
    my @ready  = $select->can_read(0);

    cmp_ok scalar @ready, '<', 3, 'before all of the huge ones';

    for my $client (@clients) {
        is $client->response->json->{total_events}, 600_000,
            'which are answered, too';
    }

    $nginx->stop;
};


subtest 'a user of many types does not slow the fold down' => sub {
    my $nginx = Analytics::Test->new(workers => 1)->start;

    my $list = '[' . join(',', map {
        qq({"user_id":"u","event_type":"t$_"}) } 1 .. 999) . ']';

    is $nginx->post('/events/', $list)->{status}, 201, 'many types';

    my $answer = $nginx->get('/stats/user-activity/u');
    my $types  = $answer->json->{events_by_type};
    my $sum    = 0;

    $sum += $_->{count} for @$types;

    is @$types, 129, '128 of them are told apart';
    is $sum, 999, 'the others are counted';
    like $answer->{headers}{'x-analytics-exact'}, qr/^false/, 'which it says';

    $nginx->stop;
};

done_testing;
