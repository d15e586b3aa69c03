# Copyright (C) The nginx analytics authors

# Answers of several locations in one: each member is what its location
# answers alone, and an error of one is the answer to all.

use strict;
use warnings;

use POSIX qw(strftime);
use Test::More;

use Analytics::Site;
use Analytics::Test;


my %MEMBERS = (
    summary    => '/api/v1/stats/summary',
    today      => '/api/v1/stats/daily',
    user_stats => '/api/v1/user-stats?days=14',
    ai_stats   => '/api/v1/ai-stats?days=14',
    models     => '/api/v1/ai-stats/models',
    by_type    => '/stats/by-event-type',
    top_users  => '/stats/by-user?limit=10',
    over_time  => '/stats/over-time',
    recent     => '/stats/recent-activity',
);


subtest 'the dashboard' => sub {
    Analytics::Test::one_day(60);

    my $nginx = Analytics::Site->new;
    my $conf  = $nginx->dir . '/analytics/dashboard.conf';
    my $today = strftime '%Y-%m-%d', gmtime;

    Analytics::Test::write_file($conf, Analytics::Test::read_file($conf)
        . 'location = /of-events { analytics_join  site a=/events/; }');

    $nginx->start->ready;

    is $nginx->post('/api/v1/ai-call', Analytics::Test::canonical({
        user_id => "user $_", model_used => $_ % 2 ? 'a' : 'b',
        call_type => 'completion', response_time => 0.5 * $_,
        tokens => $_, success => $_ % 3 ? \1 : \0,
    }))->{status}, 201, "call $_" for 1 .. 12;

    my $all = $nginx->json('/api/v1/dashboard');

    like delete $all->{generated_at}, qr/^\Q$today\E/, 'when it was made';
    is_deeply [ sort keys %$all ], [ sort keys %MEMBERS ], 'its members';
    is scalar @{ $all->{$_} }, 14, "14 days: $_" for qw(user_stats ai_stats);
    is scalar @{ $all->{top_users} }, 10, 'ten users';

    is_json $all->{$_}, Analytics::Test::canonical(
        $nginx->json($MEMBERS{$_})), "as alone: $_" for sort keys %MEMBERS;

    # other days

    my $span = 'start=2026-01-01&end=2026-01-03';
    my $then = $nginx->json("/api/v1/dashboard?$span");

    is_json $then->{user_stats}, Analytics::Test::canonical(
        $nginx->json("/api/v1/user-stats?$span")), 'days that are asked for';
    is $then->{summary}{start}, '2026-01-01', 'also in the summary';

    is_problem $nginx->get('/api/v1/dashboard?start=yesterday'), 422,
        qr/start must be a date/, 'what one of them refuses';
    is_problem $nginx->post('/api/v1/dashboard', '{}'), 405, undef,
        'no other method';

    is_problem $nginx->get('/of-events'), 503, qr/by a subrequest/,
        'single events';

    is $nginx->request('HEAD', '/api/v1/dashboard')->{body}, '', 'HEAD';
    is $nginx->get('/api/v1/dashboard')->{status}, 200,
        'the connection stays usable';

    $nginx->stop;
};


my $nginx = Analytics::Test->new(locations => <<'CONF');

location = /all    { analytics_join  site a=/total b=/plain?x=1; }
location = /page   { analytics_join  site a=/total b=/html; }
location = /broken { analytics_join  site a=/cut; }
location = /packed { analytics_join  site a=/gzip; }
location = /proxy  { analytics_join  site a=/other; }
location = /late   { analytics_join  site a=/file.json b=/total; }
location = /none   { analytics_join  site a=/missing b=/total; }
location = /loop   { analytics_join  site a=/loop; }

location = /total  { analytics_stats  site total; }

location = /plain {
    default_type  application/json;
    return  200  '{"args":"$args"}';
}

location = /cut {
    default_type  application/json;
    return  200  '{"x":';
}

location = /gzip  { proxy_pass  http://127.0.0.1:%PORT%/up; }
location = /other { proxy_pass  http://127.0.0.1:%PORT%/plain?x=2; }

location = /up {
    default_type  application/json;
    add_header    Content-Encoding  gzip;
    return        200  '1';
}

location = /file.json {
    root        %DIR%;
    aio         threads;
    directio    1;
    types       { application/json json; }
}

location = /html {
    default_type  text/html;
    return  200  '<p>';
}
CONF

Analytics::Test::write_file($nginx->dir . '/file.json', '{"from":"a file"}');

$nginx->start->ready;


subtest 'of other modules' => sub {
    my $all = $nginx->json('/all');

    delete $all->{generated_at};

    is_json $all, Analytics::Test::canonical({
        a => $nginx->json('/total'), b => { args => 'x=1' } }), 'JSON';

    $nginx->expect_log(qr/"analytics_join": "b" answered 200, and no JSON/);
    is $nginx->get('/page')->{status}, 500, 'no JSON';

    $nginx->expect_log(qr/"analytics_join": "a" answered 200, and no JSON/);
    is $nginx->get('/broken')->{status}, 500, 'JSON that is not whole';
    is $nginx->get('/packed')->{status}, 500, 'what is packed';

    is_json $nginx->json('/proxy')->{a}, '{"args":"x=2"}', 'of a proxy';

    my $late = $nginx->json('/late');

    is_json $late->{a}, '{"from":"a file"}', 'what comes late';

    $nginx->expect_log(qr/"analytics_join": "a" answered 404, and no JSON/);
    $nginx->expect_log(qr/missing" failed \(2: No such file/);
    is $nginx->get('/none')->{status}, 500, 'a location that is not there';

    $nginx->expect_log(qr/"analytics_join" cannot be had by a subrequest/);
    $nginx->expect_log(qr/"analytics_join": "a" answered 500, and no JSON/);
    is $nginx->get('/loop')->{status}, 500, 'itself';
};

$nginx->stop;


subtest 'what is refused' => sub {
    for ([ 'a', 'invalid member "a"' ],
         [ 'a=', 'invalid member "a="' ],
         [ 'a=total', 'invalid member "a=total"' ],
         [ '=/total', 'invalid name of a member "=/total"' ],
         [ 'a=/total a=/x', 'invalid second member "a=/x"' ],
         [ 'a=/$nothing', 'unknown "nothing" variable' ],
         [ join(' ', map { "m$_=/x" } 1 .. 33), 'at most 32 members' ])
    {
        my ($line, $why) = @$_;
        my ($ok, $said) = Analytics::Test->new(
            locations => "location = /j { analytics_join site $line; }")
            ->check;

        ok !$ok, $line;
        like $said, qr/\[emerg\].*\Q$why\E/, 'says why';
    }
};

done_testing;
