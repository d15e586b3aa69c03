# Copyright (C) The nginx analytics authors

# Who asks gets all that is held about them, and nothing about anybody else:
# statistics, counts by period, and events, however many, from the store and
# from the log behind it; and nothing once they are to be forgotten.

use strict;
use warnings;

use JSON::PP ();
use List::Util qw(max min);
use Test::More;

use Analytics::Log;
use Analytics::Test;

my $nginx = Analytics::Test->new(
    zone => '32m', path => 1, log => 'store on; counts 1s; sync off;',
    locations => <<'CONF',
        location /users/ {
            analytics_person  site format=event;
            analytics_erase   site;
        }
        location /people/  { analytics_person site format=activity; }
        location ~ ^/of/[^/]+/export/?$  {
            analytics_person site format=event;
        }
CONF
)->start;
my $dir  = $nginx->dir . '/data';
my $json = JSON::PP->new->utf8->canonical;


sub escaped { return $_[0] =~ s/([^A-Za-z0-9])/sprintf '%%%02x', ord $1/ger }

sub ask {
    my ($user, $path) = @_;

    return $nginx->get(($path // '/users/') . escaped($user) . '/export');
}


sub post {
    my @events = @_;

    $nginx->post('/events/', $json->encode(\@events))->{status} == 201
        or die "not taken\n";
}


sub event {
    my ($user, $type, $n) = @_;

    utf8::decode($user);

    return {
        user_id => $user, event_type => $type,
        timestamp => sprintf('2025-10-04T%02d:%02d:%02dZ', $n % 24, $n % 60,
            $n * 7 % 60),
        metadata => { n => $n },
    };
}


sub rfc3339 {
    my ($time) = @_;

    my @at = gmtime int($time / 1e6);
    my $text = sprintf '%04d-%02d-%02dT%02d:%02d:%02d', $at[5] + 1900,
        $at[4] + 1, @at[3, 2, 1, 0];
    my $rest = sprintf '%06d', $time % 1e6;

    return $text . ($rest =~ /^0+$/ ? ''
        : '.' . ($rest =~ s/000$//r)) . 'Z';
}


# What the log says about a user, by an implementation of its own.

sub expected {
    my ($user) = @_;

    my @events = grep { $_->{user} eq $user }
        @{ Analytics::Log->read($dir)->{events} };
    my (%types, %counts);

    for (@events) {
        $_->{time} //= $_->{received};
        $types{ $_->{type} }++;
        $counts{ int($_->{received} / 1e6) }++;
    }

    return {
        statistics => {
            total_events => scalar @events,
            events_by_type => [map { { event_type => $_, count => $types{$_} } }
                sort { $types{$b} <=> $types{$a} || $a cmp $b } keys %types],
            first_event_at => rfc3339(min map { $_->{time} } @events),
            last_event_at => rfc3339(max map { $_->{time} } @events),
        },
        counts => \%counts,
        events => [map { {
            received => rfc3339($_->{received}),
            event => {
                id => $_->{id}, user_id => $json->decode(
                    JSON::PP->new->latin1->allow_nonref->encode($user)),
                event_type => $_->{type}, timestamp => rfc3339($_->{time}),
                metadata => $json->decode($_->{properties} || '{}'),
            },
        } } sort { $a->{time} <=> $b->{time} || $a->{id} <=> $b->{id} }
            @events],
    };
}


# Waits until every period in which something was recorded is counted.

sub counted {
    my ($user) = @_;

    my $last = max keys %{ expected($user)->{counts} };

    ok wait_for(sub {
        grep { /-0*(\d+)\.db$/ && $1 > $last } glob "$dir/period-*.db"
    }), 'periods are over and counted';
}


sub is_all {
    my ($user, $name, $path) = @_;

    my $answer = ask($user, $path);
    my $person = $answer->json;
    my $all = expected($user);

    is $answer->{status}, 200, "$name: found";
    is_deeply $person->{statistics}, $all->{statistics}, "$name: statistics";
    is_deeply { map { $_->{period_start} => $_->{count} }
        @{ $person->{activity_counts} } },
        { map { rfc3339($_ * 1e6) => $all->{counts}{$_} }
            keys %{ $all->{counts} } }, "$name: counts by period";
    is_deeply $person->{events}, $all->{events}, "$name: events";

    return $person;
}


my $ODD = "a/b c\x{c3}\x{a9}?&#\"\\";

post(map { event($_ % 3 ? "other $_" : $ODD, 'type ' . $_ % 4, $_) } 1 .. 90);
post(event('export', 'type', 1), event('x/export', 'type', 2));


subtest 'all that is held' => sub {

    # who came last, which may be in the next period
    counted('x/export');

    my $person = is_all($ODD, 'a name of any bytes');

    is_deeply [sort keys %$person],
        [qw(activity_counts events exported_at statistics user_id)],
        'its members';
    is $json->encode([$person->{user_id}]), "[" . ($json->allow_nonref->encode(
        $json->decode('"a/b c' . "\x{c3}\x{a9}" . '?&#\"\\\\"'))) . "]",
        'the name';
    like $person->{exported_at}, qr/^\d{4}-\d\d-\d\dT[\d:.]+Z$/, 'when';

    my $answer = ask($ODD);

    like $answer->header('Content-Type'), qr{^application/json}, 'as JSON';
    like $answer->header('Content-Disposition'), qr/^attachment;/, 'as a file';

    is_all('export', 'a name like the end of the path');
    is_all('x/export', 'and one that ends like it');
    is_all('export', 'where a regular expression chose', '/of/');

    is $nginx->get('/users/export/export/')->json->{user_id}, 'export',
        'with a slash at its end';
};


subtest 'users as integers where the format says so' => sub {
    $nginx->post('/api/event', '{"user_id":6,"action":"created",'
        . '"event_action_timestamp":"2025-10-12T21:27:08.034Z"}');

    my $answer = ask(6, '/people/');

    like $answer->{body}, qr/^\{"user_id":6,/, 'of the person';
    like $answer->{body}, qr/"event":\{"id":\d+,"user_id":6,/, 'of the events';
};


subtest 'what is asked for wrongly' => sub {
    is ask('stranger')->{status}, 404, 'nobody knows the user';
    is_problem(ask('stranger'), 404);
    is ask('x' x 256)->{status}, 404, 'no user has such a name';
    is $nginx->get('/users/export')->{status}, 404, 'no name';
    is $nginx->get('/users/ann')->{status}, 404, 'no export';
    is $nginx->get('/users/x%2Fexport')->{status}, 404,
        'the end of the path is not that of a name';
    is $nginx->get('/users/export/export?user_id=ann')->{status}, 422,
        'there are no parameters';
    is $nginx->request(HEAD => '/users/export/export')->{status}, 200, 'HEAD';
    is $nginx->request(OPTIONS => '/users/a/export')->header('Allow'),
        'GET, HEAD, DELETE, OPTIONS', 'a location that erases, too';
    is $nginx->request(PUT => '/people/a/export', body => '')->header('Allow'),
        'GET, HEAD, OPTIONS', 'one that does not';
};


subtest 'more than one chunk, from the store and behind it' => sub {
    my ($n, $all) = (0, 40_000);

    while ($n < $all) {
        post(map { event($_ % 8 ? 'crowd' : 'big', 'type', $_) }
            $n + 1 .. $n + 1000);
        $n += 1000;
    }

    ok wait_for(sub {
        $nginx->health->{store}{behind_events} < $all
            && grep { /\d\.db$/ && !/period/ } glob "$dir/*.db"
    }), 'a part of the store is there';

    post(event('big', 'type', 77));
    counted('big');

    my $person = is_all('big', 'a busy user');

    is scalar @{ $person->{events} }, 5001, 'and no other';
};


subtest 'who is forgotten is so at once' => sub {
    is $nginx->request(DELETE => '/users/big')->{status}, 202, 'erased';
    is ask('big')->{status}, 404, 'nothing is known';
    is ask('export')->{status}, 200, 'of others, it is';

    ok wait_for(sub { $nginx->health->{erasing} eq '0' }), 'done';
    is ask('big')->{status}, 404, 'and stays so';
};


subtest 'what cannot be configured' => sub {
    for (
        ['analytics_person site;', qr/invalid number of arguments/],
        ['analytics_person site format=event; analytics_person site '
            . 'format=event;', qr/is duplicate/],
        ['analytics_erase site; analytics_erase site;', qr/is duplicate/],
        ['analytics_person site format=event; analytics_events site '
            . 'format=event;', qr/conflicts/],
        ['analytics_erase site; analytics_person site format=event; '
            . 'analytics_health;', qr/conflicts/],
        ['analytics_person site format=none;', qr/unknown analytics format "none"/],
    ) {
        my ($lines, $error) = @$_;

        my ($ok, $said) = Analytics::Test->new(path => 1,
            locations => "location /x/ { $lines }")->check;

        ok !$ok, $lines;
        like $said, $error, 'it says why';
    }
};


$nginx->stop;
done_testing;
