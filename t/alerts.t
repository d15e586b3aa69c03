# Copyright (C) The nginx analytics authors

# An alert is in the state that its metric has it in, and whoever is to hear of
# it hears of each change once: whatever the receiver does, and whatever
# becomes of nginx meanwhile.

use strict;
use warnings;

use JSON::PP ();
use POSIX qw(strftime);
use Test::More;

use Analytics::Receiver;
use Analytics::Test;

my $json     = JSON::PP->new->canonical;
my $receiver = Analytics::Receiver->new->start;

my $METRICS = <<'CONF';
        metric errors  count type=error;
        metric logins  count type=login by=site;
        metric seconds avg   type=call field=s;
        metric slow    p95   type=call field=s;
        metric active  unique;
        metric pings   count type=ping by=name;
CONF

# long enough for the test
my $FAST = 'over=1h for=0 every=1s gap=0';

my $nginx = Analytics::Test->new(path => 1,
    locations => 'location = /alerts { analytics_alerts site; }
                  location = /metrics { analytics_prometheus site; }');


# Lines of the zone's block, with URLs of the receiver.

sub lines {
    my (@alerts) = @_;

    return $METRICS . join '', map { s/HOOK(\S+)/$receiver->url($1)/er
        =~ s/\z/;\n/r } map { "        alert $_" } @alerts;
}


sub fail_once { return $nginx->expect_log(qr/could not be delivered/) }


sub events {
    my ($type, $n, %properties) = @_;

    my $event = { user_id => 'u', event_type => $type,
        metadata => \%properties };

    is $nginx->post('/events/', $json->encode([ ($event) x $n ]))->{status},
        201, "$n of $type";
}


sub alert {
    my ($name) = @_;

    my ($alert) = grep { $_->{alert} eq $name }
        @{ $nginx->json('/alerts')->{alerts} };

    return $alert;
}


sub becomes {
    my ($name, $state) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok wait_for(sub { alert($name)->{state} eq $state }), "$name is $state"
        or diag explain alert($name);
}


sub bodies { return map { $json->decode($_->{body}) } @{ $receiver->got(@_) } }


sub delivered {
    my ($path, @states) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    wait_for(sub { @{ $receiver->got($path) } >= @states });

    is join(' ', map { $_->{status} } bodies($path)), "@states",
        "$path hears of: @states";
}


subtest 'what is wrong in an alert is said with file, line and token' => sub {
    my $m = 'metric=errors';

    for (
        [ 'alert', 'invalid number of arguments in "alert"' ],
        [ 'alert a', 'invalid number of arguments in "alert"' ],
        [ "alert a/b $m above=1", 'invalid name of an alert "a/b"' ],
        [ "alert a $m", 'needs "above", "below" or "anomaly"' ],
        [ 'alert a above=1', 'it needs a "metric"' ],
        [ 'alert a metric=nope above=1', 'unknown metric "nope" in alert "a"' ],
        [ "alert a $m above=x", 'invalid number in "above=x"' ],
        [ "alert a $m above=0x10", 'invalid number in "above=0x10"' ],
        [ "alert a $m above=1e999", 'invalid number in "above=1e999"' ],
        [ "alert a $m above=nan", 'invalid number in "above=nan"' ],
        [ "alert a $m above=", 'invalid parameter "above="' ],
        [ "alert a $m anomaly=0", 'invalid number in "anomaly=0"' ],
        [ "alert a $m above=1 below=2", 'has another condition: "below=2"' ],
        [ "alert a $m above=1 over=30s", 'invalid time in "over=30s"' ],
        [ "alert a $m above=1 over=90s", '"over" must be whole minutes' ],
        [ "alert a $m above=1 over=1w1m", '"over" must be whole hours' ],
        [ "alert a $m above=1 for=x", 'invalid time in "for=x"' ],
        [ "alert a $m above=1 for=1m for=2m", 'invalid parameter "for=2m"' ],
        [ "alert a $m above=1 every=0", 'invalid time in "every=0"' ],
        [ "alert a $m above=1 nope=1", 'invalid parameter "nope=1"' ],
        [ "alert a $m above=1 group=\xff", 'invalid parameter "group=' ],
        [ "alert a $m above=1 group=x", 'its metric has no groups' ],
        [ "alert a $m anomaly=3 over=1h", 'is of an hour, without "over"' ],
        [ 'alert a metric=active anomaly=3', 'kept by hour' ],
        [ 'alert a metric=active above=3 over=1h', 'must be whole days' ],
        [ 'alert a metric=slow above=3 over=5m', 'must be whole hours' ],
        [ "alert a $m above=1 webhook=ftp://h/", 'invalid URL in "webhook=ftp://h/"' ],
        [ "alert a $m above=1 webhook=http:///x", 'invalid URL in "webhook=http:///x"' ],
        [ "alert a $m above=1; alert a $m above=1", 'alert "a" is already declared' ],
        [ join('; ', map { "alert a$_ $m above=1" } 1 .. 65), 'more than 64 alerts' ],
    ) {
        my ($line, $why) = @$_;

        my ($ok, $said) = Analytics::Test->new(path => 1,
            log => "$METRICS $line;")->check;

        ok !$ok, substr $line, 0, 60;
        like $said, qr/\[emerg\].*\Q$why\E.* in \S+nginx\.conf:\d+/, $why;
    }

    my ($ok, $said) = Analytics::Test->new(
        log => "$METRICS alert a $m above=1;")->check;

    ok !$ok, 'without a path';
    like $said, qr/\[emerg\].*"alert" needs a "path" in zone "site"/, 'says so';
};


$nginx->set(log => lines(
    "errors metric=errors above=2 $FAST webhook=HOOK/errors",
    "quiet metric=errors above=2 $FAST",
    "slowly metric=errors above=2 over=1h for=1h every=1s gap=0 webhook=HOOK/slowly",
    "few metric=logins group=a below=1 $FAST webhook=HOOK/few",
    "mean metric=seconds above=2.5 $FAST webhook=HOOK/mean",
    "odd metric=errors anomaly=3 every=1s",
))->start;


subtest 'an alert fires when its condition holds, and says so once' => sub {
    becomes('few', 'firing');
    becomes('errors', 'inactive');

    wait_for(sub { defined alert('errors')->{value} });

    is alert('errors')->{value}, 0, 'with the value';
    is alert('mean')->{value}, undef, 'the mean of nothing is none';
    is alert('mean')->{reason}, 'there were no such events', 'which is said';
    is alert('mean')->{state}, 'inactive', 'and above nothing';
    like alert('odd')->{reason}, qr/^too little history: 0 hours of \d+$/,
        'and so it is where there is nothing to compare with';

    events('error', 2);
    wait_for(sub { alert('errors')->{value} == 2 });
    is alert('errors')->{state}, 'inactive', '2 is not above 2';

    events('error', 1);
    becomes($_, 'firing') for qw(errors quiet);
    becomes('slowly', 'pending');

    delivered('/errors', 'firing');
    delivered('/few', 'firing');
    delivered('/slowly');

    my ($got) = @{ $receiver->got('/errors') };
    my $body = $json->decode($got->{body});

    is $got->{method}, 'POST', 'by POST';
    is $got->{headers}{'content-type'}, 'application/json', 'as JSON';
    like $got->{headers}{'user-agent'}, qr{^nginx-analytics/\d}, 'by name';
    is $got->{headers}{'idempotency-key'}, $body->{id}, 'with its id';
    like delete $body->{id}, qr/^[0-9a-f]{32}$/, 'which is random';

    my $alert = alert('errors');

    is delete $body->{since}, $alert->{since}, 'since when';
    cmp_ok delete $body->{at}, 'ge', $alert->{since}, 'and when it was made';

    is_json $body, { zone => 'site', alert => 'errors', status => 'firing',
        metric => 'errors', group => undef, condition => 'above',
        threshold => 2, value => 3, skipped => 0 }, 'what it is about';

    wait_for(sub { alert('errors')->{webhook}{pending} == 0 });
    $alert = alert('errors');

    delete @$alert{qw(evaluated_at since)};
    like delete $alert->{webhook}{last_delivered}, qr/^20.*Z$/, 'told when';

    is_json $alert, { alert => 'errors', metric => 'errors', group => undef,
        condition => 'above', threshold => 2, over => 3600, for => 0,
        every => 1, state => 'firing', value => 3, reason => undef,
        webhook => { pending => 0, last_error => undef } }, 'GET /alerts';

    unlike $nginx->get('/alerts')->{body}, qr/127\.0\.0\.1/, 'without the URL';

    like $nginx->get('/metrics')->{body},
        qr/^nginx_analytics_alerts_firing\{zone="site"\} 3$/m,
        'and Prometheus is told how many fire';
};


subtest 'what holds no more is resolved, and that is said once' => sub {
    events('login', 1, site => 'a');
    becomes('few', 'resolved');
    delivered('/few', 'firing', 'resolved');

    events('call', 1, s => 4);
    becomes('mean', 'firing');
    events('call', 3, s => 1);
    becomes('mean', 'resolved');
    delivered('/mean', 'firing', 'resolved');

    my @bodies = bodies('/mean');

    is_json [ map { $_->{value} } @bodies ], [ 4, 1.75 ], 'with the values';
    isnt $bodies[0]{id}, $bodies[1]{id}, 'and ids of their own';
};


subtest 'a reload goes on where it was' => sub {
    ok $nginx->reload(log => lines(
        "errors metric=errors above=2 $FAST webhook=HOOK/errors",
        "few metric=logins group=a below=9 $FAST webhook=HOOK/few",
        "slowly metric=errors above=2 over=1h for=1s every=1s gap=0 webhook=HOOK/slowly",
        "new metric=errors above=1 $FAST webhook=HOOK/new",
    )), 'reloaded';

    becomes('new', 'firing');
    becomes('slowly', 'firing');
    becomes('few', 'firing');

    delivered('/few', 'firing', 'resolved', 'firing');
    delivered('/new', 'firing');
    delivered('/slowly', 'firing');
    delivered('/errors', 'firing');

    is alert('mean'), undef, 'one that is not declared is not there';
};


subtest 'a receiver that fails is asked again, with the same id' => sub {
    fail_once();

    $receiver->answer('/five', 500, 302, 204);

    $nginx->reload(log => lines(
        "five metric=errors above=2 $FAST webhook=HOOK/five"));

    ok wait_for(sub { @{ $receiver->got('/five') } == 3 }), 'three times';
    ok wait_for(sub { alert('five')->{webhook}{pending} == 0 }), 'then it is done';

    my %ids = map { $_->{id} => 1 } bodies('/five');

    is keys %ids, 1, 'one id';
    is @{ $receiver->got('/moved') }, 0, 'no redirect is followed';
};


subtest 'one that hangs holds up neither requests nor others' => sub {
    my $began = time;

    $receiver->answer('/hang', 'hang');

    $nginx->reload(log => lines(
        "hang metric=errors above=2 $FAST webhook=HOOK/hang",
        "other metric=errors above=2 $FAST webhook=HOOK/other"));

    ok wait_for(sub { @{ $receiver->got('/hang') } }), 'it was asked';

    delivered('/other', 'firing');
    events('error', 1) for 1 .. 20;
    is $nginx->get('/stats/total')->{status}, 200, 'it goes on' for 1 .. 80;

    is alert('hang')->{webhook}{pending}, 1, 'and it has not answered yet';

    # it is asked again when it has been given up, but not at once

    my $asked = @{ $receiver->got('/hang') };

    cmp_ok $asked, '<=', 1 + (time - $began) / 10, "nor was it asked often";
};


subtest 'what was not delivered is delivered after a stop' => sub {
    my $id = (bodies('/hang'))[0]{id};

    $nginx->stop;

    my $asked = @{ $receiver->got('/hang') };

    $receiver->answer('/hang', 200);
    $nginx->start;

    delivered('/hang', ('firing') x ($asked + 1));
    is +(bodies('/hang'))[-1]{id}, $id, 'as the same notice';

    ok wait_for(sub { alert('hang')->{webhook}{pending} == 0 }), 'once';
    delivered('/other', 'firing');
};


subtest 'and after a kill, when nobody listened' => sub {
    $receiver->stop;

    $nginx->reload(log => lines(
        "gone metric=errors above=2 $FAST webhook=HOOK/gone"));

    ok wait_for(sub { (alert('gone')->{webhook}{last_error} // '') =~ /connect/ }),
        'the error is shown' or diag explain alert('gone');

    $nginx->kill_all;
    $receiver->start;
    $nginx->start;

    delivered('/gone', 'firing');
    ok wait_for(sub { alert('gone')->{webhook}{pending} == 0 }), 'delivered';

    $nginx->kill_all;
    $nginx->start;

    # it has looked anew when that is later

    my $seen = alert('gone')->{evaluated_at};

    ok wait_for(sub { alert('gone')->{evaluated_at} gt $seen }), 'looked again';
    delivered('/gone', 'firing');
};


subtest 'a killed worker is followed by another one' => sub {
    my ($before) = sort { $a <=> $b } $nginx->workers;

    kill 'KILL', $nginx->workers;
    ok wait_for(sub {
        my @now = $nginx->workers;
        return @now == 2 && !grep { $_ == $before } @now;
    }), 'new workers';

    ok $nginx->ready, 'ready';

    my $seen = alert('gone')->{evaluated_at};

    ok wait_for(sub { alert('gone')->{evaluated_at} gt $seen }), 'looked again';
    delivered('/gone', 'firing');
};

$nginx->expect_log(qr/exited on signal 9/, qr/zone .* was locked by/);


subtest 'reminders come when they are due, and no storm' => sub {
    $nginx->reload(log => lines(
        "again metric=errors above=2 over=1h for=0 every=1s gap=0 repeat=1s webhook=HOOK/again",
        "flap metric=seconds above=2 over=1h for=0 every=1s gap=1h webhook=HOOK/flap"));

    ok wait_for(sub { @{ $receiver->got('/again') } >= 3 }), 'again and again';

    events('call', 1000, s => 9);
    becomes('flap', 'firing');
    delivered('/flap', 'firing');
    events('call', 9000, s => 0);
    becomes('flap', 'resolved');
    events('call', 10000, s => 9);
    becomes('flap', 'firing');
    delivered('/flap', 'firing');
    is alert('flap')->{webhook}{pending}, 0, 'nor will it be told of';
};


# Ten days of about 20 an hour, and an hour that is like them, or not.

subtest 'an hour that is not what was to be expected is told' => sub {
    my $hour = int(time / 3600);

    for my $name (qw(odd even)) {
        my @events;

        for my $h ($hour - 240 .. $hour) {
            my $n = $h < $hour - 1 ? 18 + $h * 7 % 5 : $name eq 'odd' ? 90 : 20;

            push @events, ({ user_id => 'u', event_type => 'ping',
                timestamp => strftime('%Y-%m-%dT%H:00:00Z', gmtime $h * 3600),
                metadata => { name => $name } }) x $n;
        }

        is $nginx->post('/events/', $json->encode(\@events))->{status}, 201,
            $name;
    }

    $nginx->reload(log => lines(
        'odd metric=pings group=odd anomaly=4 every=1s webhook=HOOK/odd',
        'even metric=pings group=even anomaly=4 every=1s webhook=HOOK/even',
        'none metric=pings group=none anomaly=4 every=1s'));

    becomes('odd', 'firing');
    delivered('/odd', 'firing');

    is alert('odd')->{value}, 90, 'the value is the hour\'s';
    is alert('even')->{value}, 20, 'where it is as ever';
    is alert('even')->{state}, 'inactive', 'there is nothing to tell';

    my ($expected, $deviation) = alert('even')->{reason}
        =~ /^(\S+) was expected, with a standard deviation of (\S+)$/;

    cmp_ok abs($expected - 20), '<', 3, 'what was expected is said';
    cmp_ok $deviation, '<', 5, 'and how surely';

    is alert('none')->{reason}, 'there is no such group yet', 'a group that is not there';
    is alert('none')->{state}, 'inactive', 'is no anomaly';
};


# The forecast of what was the same each hour has no deviation: of what is
# counted it is the square root, of 60 that is 7.7.

subtest 'what is counted has a noise, however even it was' => sub {

    # not at the end of an hour

    wait_for(sub { time % 3600 < 3540 });

    my $hour = int(time / 3600);
    my $send = sub {
        my ($h, $n) = @_;

        return ({ user_id => 'u', event_type => 'ping', timestamp =>
            strftime('%Y-%m-%dT%H:00:00Z', gmtime $h * 3600),
            metadata => { name => 'same' } }) x $n;
    };
    my $post = sub {
        is $nginx->post('/events/', $json->encode([@_]))->{status}, 201,
            @_ . ' of them';
    };

    $post->((map { $send->($_, 60) } $hour - 51 .. $hour - 2),
        $send->($hour - 1, 61));

    $nginx->reload(log => lines(
        'odd metric=pings group=odd anomaly=4 every=1s webhook=HOOK/odd',
        'same metric=pings group=same anomaly=4 every=1s'));

    ok wait_for(sub { (alert('same')->{value} // 0) == 61 }), '61 of 60';
    is alert('same')->{state}, 'inactive', 'is none';
    is alert('same')->{reason},
        '60 was expected, with a standard deviation of 7.74597', 'and why';

    $post->($send->($hour - 1, 139));
    becomes('same', 'firing');
};


subtest 'a damaged file is put aside' => sub {
    my $file = $nginx->dir . '/data/alerts';

    $nginx->stop;
    Analytics::Test::write_file($file, '{"alerts":[{}]}');
    $nginx->expect_log(qr{the file "\S+/alerts" is damaged});
    $nginx->start;

    becomes('odd', 'firing');
    ok -f "$file.bad", 'beside it';
    like $nginx->error_log, qr/alerts" is damaged.*alerts\.bad/, 'with a word';
};


subtest 'one that takes too long is given up, and asked again' => sub {
    plan skip_all => 'that takes 10 seconds: ANALYTICS_TORTURE'
        unless $ENV{ANALYTICS_TORTURE};

    $receiver->answer('/late', 'hang', 200);
    $nginx->reload(log => lines(
        "late metric=errors above=2 $FAST webhook=HOOK/late"));

    delivered('/late', 'firing', 'firing');
    ok wait_for(sub { alert('late')->{webhook}{pending} == 0 }), 'delivered';
};


delivered("/$_", 'firing') for qw(new slowly other gone);


subtest 'where no alert is declared, none is known' => sub {
    $nginx->reload(log => $METRICS);

    is_json $nginx->json('/alerts'), { alerts => [] }, 'none is shown';
    ok wait_for(sub { !-e $nginx->dir . '/data/alerts' }), 'nor kept';
};


$nginx->stop;
$receiver->stop;

done_testing;
