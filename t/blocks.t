# Copyright (C) The nginx analytics authors

# Our locations behave like those of nginx's own handlers: inside "if" and
# "limit_except", behind rewrites and subrequests, beside other handlers, and
# with a debug log.

use strict;
use warnings;

use Test::More;

use Analytics::Client;
use Analytics::Test;

my $EVENT = '{"user_id":"bob","event_type":"visit"}';

my $nginx = Analytics::Test->new(locations => <<'CONF')->start;
        location = /if {
            analytics_stats site total;
            if ($arg_x) { set $y 1; }
        }
        location = /if-post {
            analytics_collect site format=event;
            if ($arg_x) { set $y 1; }
        }
        location = /if-health {
            analytics_health;
            if ($arg_x) { set $y 1; }
        }
        location = /excepted {
            analytics_stats site total;
            limit_except POST { allow 127.0.0.1; deny all; }
        }
        location /nested/ {
            analytics_stats site total;
            location /nested/files/ { alias %DIR%/; }
        }
        location = /rewritten { rewrite ^ /stats/user-activity/bob last; }
        location ~ ^/mine/stats/user-activity/(?<who>[^/]+)$ {
            add_header X-Who $who;
            analytics_stats site user;
        }
        location = /both {
            mirror /copy;
            analytics_collect site format=event;
        }
        location = /copy {
            internal;
            analytics_collect site format=event;
        }
CONF

is $nginx->post('/events/', $EVENT)->{status}, 201, 'an event';

for my $path (qw(/if /if-health)) {
    is $nginx->get("$path?x=1")->{status}, 200, "$path, when it matches";
    is $nginx->get($path)->{status}, 200, "$path, when it does not";
}

is $nginx->post('/if-post?x=1', $EVENT)->{status}, 201, 'a POST within "if"';

is $nginx->json('/excepted')->{total_events}, 2,
    'limit_except leaves the handler';

is $nginx->get('/nested/')->{status}, 200, 'a location';
is $nginx->get('/nested/files/none')->{status}, 404,
    'one within it does not inherit the handler';
$nginx->expect_log(qr/open\(\) ".*none" failed/);

is $nginx->json('/rewritten')->{user_id}, 'bob',
    'behind a rewrite, the user is the one of the new path';

is $nginx->get('/mine/stats/user-activity/alice#/bob')->{status}, 404,
    'access to one user is not access to another';
is $nginx->json('/mine/stats/user-activity/bob')->{total_events}, 2,
    'the user of a capture';

is $nginx->get('/stats/user-activity/')->{status}, 404, 'nobody is asked for';

# it is mirror that reads the body, and nginx that logs it
$nginx->expect_log(qr/buffered to a temporary file/);

my $list = '[' . join(',', ($EVENT) x 60_000) . ']';
is $nginx->post('/both', $list)->{status}, 201, 'a list in a file, mirrored';
ok wait_for(sub { $nginx->json('/stats/total')->{total_events} == 120_002 }),
    'is read by both';

$nginx->stop;


subtest 'another handler beside ours is refused' => sub {
    for my $lines (
        'analytics_stats site total; proxy_pass http://127.0.0.1:1;',
        'proxy_pass http://127.0.0.1:1; analytics_stats site total;',
        'analytics_health; analytics_stats site total;',
        'analytics_stats site total; analytics_stats site by_user;')
    {
        my ($valid, $output) = Analytics::Test->new(
            locations => "location = /two { $lines }\n")->check;

        ok !$valid, $lines;
        like $output, qr/conflicts|duplicate/, 'and says why';
    }
};


subtest 'with a debug log, also what a thread works on' => sub {
    my $debug = Analytics::Test->new(main => 'error_log %DIR%/debug.log debug;')
        ->start;

    my $list = '[' . join(',', ($EVENT) x 20000) . ']';

    is $debug->post('/events/', $list)->{status}, 201, 'a large list';
    is $debug->post('/events/', $EVENT)->{status}, 201, 'a small event';
    is $debug->json('/stats/total')->{total_events}, 20001, 'are counted';

    $debug->stop;
};

done_testing;
