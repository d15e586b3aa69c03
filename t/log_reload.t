# Copyright (C) The nginx analytics authors

# What a reload may change of a zone with a log: its size and its rules, which
# the log then tells all who fold it; its directory only with its memory.  A
# zone without a log stands beside it, with keys of its own.

use strict;
use warnings;

use Test::More;

use Analytics::Test;

my $EVENT = '{"user_id":"a","event_type":"b"}';
my $OLD   = '{"user_id":"a","event_type":"b","timestamp":"2020-01-01T00:00:00Z"}';

my $nginx = Analytics::Test->new(
    path      => 1,
    http      => 'analytics_zone memory 8m { }',
    locations => <<'CONF',
        location = /memory        { analytics_collect memory format=event; }
        location = /memory/total  { analytics_stats memory total; }
CONF
)->expect_log(qr/\[emerg\].*has another "path"/)->start;

is $nginx->post('/events/', $EVENT)->json->{id}, 1, 'an event is stored';

for my $time ('once', 'twice') {
    is $nginx->post('/memory', $EVENT,
        headers => ['Idempotency-Key: k'])->json->{id}, 1,
        "without a log: the same key $time";
}

is $nginx->json('/memory/total')->{total_events}, 1, 'counted once';

my ($ok, $said) = $nginx->check;

ok $ok, 'nginx -t passes beside the nginx that uses the directory'
    or diag $said;

ok !$nginx->reload(path => $nginx->dir . '/other'),
    'another directory for the same memory is refused';
is $nginx->post('/events/', $EVENT)->json->{id}, 2, 'and all goes on';

ok $nginx->reload(path => 1, zone => '24m') && $nginx->ready, 'another size';
is $nginx->json('/stats/total')->{total_events}, 2, 'all is read from the log';

is $nginx->json('/health')->{zones}{site}{older}, 0, 'nothing is too old';
ok $nginx->reload(retain => 'totals=30d') && $nginx->ready, 'another rule';

ok wait_for(sub {
    $nginx->post('/events/', $OLD);
    return $nginx->json('/health')->{zones}{site}{older};
}), 'takes effect';

my $older = $nginx->json('/health')->{zones}{site}{older};

$nginx->stop('QUIT');
$nginx->start;

is $nginx->json('/health')->{zones}{site}{older}, $older,
    'and is kept with what it made of the events';

$nginx->stop;
done_testing;
