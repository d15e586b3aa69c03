# Copyright (C) The nginx analytics authors

# The usage summary of a posted list, and of everything collected so far.

use strict;
use warnings;

use Test::More;

use Analytics::Client;
use Analytics::Oracle;
use Analytics::Test;

my $nginx = Analytics::Test->new(body => '200m', buffer => '2m', workers => 1)
    ->start;

my @EXAMPLE = (
    [ 'alice',   '2025-09-23T09:10:01Z', 'login' ],
    [ 'bob',     '2025-09-23T09:15:12Z', 'view' ],
    [ 'alice',   '2025-09-23T10:03:23Z', 'purchase' ],
    [ 'alice',   '2025-09-23T09:42:21Z', 'login' ],
    [ 'charlie', '2025-09-23T09:01:05Z', 'login' ],
    [ 'bob',     '2025-09-23T11:13:45Z', 'logout' ],
    [ 'bob',     '2025-09-23T09:55:32Z', 'login' ],
    [ 'charlie', '2025-09-23T09:23:02Z', 'view' ],
);

my $EXAMPLE = '[' . join(', ', map {
    sprintf '{"user_id":"%s","timestamp":"%s","action_type":"%s"}', @$_
} @EXAMPLE) . ']';

my $ANSWER = '{"message":"Usage summary generated successfully",'
    . '"total_events":8,"total_unique_users":3,'
    . '"unique_users":["alice","bob","charlie"],'
    . '"action_wise_counts":{"login":4,"logout":1,"purchase":1,"view":2},'
    . '"most_active_user":{"value":"alice","count":3},'
    . '"peak_activity_time":{"value":"2025-09-23T09:01:05Z","count":1},'
    . '"peak_activity_hour":{"value":9,"count":6},'
    . '"peak_activity_window":{"start":"2025-09-23T09:00:00Z",'
    . '"end":"2025-09-23T10:00:00Z","count":6}}';

my $EMPTY = '{"message":"Usage summary generated successfully",'
    . '"total_events":0,"total_unique_users":0,"unique_users":[],'
    . '"action_wise_counts":{},"most_active_user":null,'
    . '"peak_activity_time":null,"peak_activity_hour":null,'
    . '"peak_activity_window":null}';


sub as_list {
    return '[' . join(',', map {
        Analytics::Test::canonical({
            user_id => $_->{user}, action_type => $_->{type},
            timestamp => Analytics::Oracle::instant($_->{time}),
        })
    } @_) . ']';
}


subtest 'the documented example' => sub {
    for my $path (qw(/usage-summary /usage-summary/ /api/usage-summary
        /api/usage-summary/))
    {
        my $answer = $nginx->post($path, $EXAMPLE);

        is $answer->{status}, 200, "POST $path";
        is $answer->header('content-type'), 'application/json', 'is JSON';
        is $answer->{body}, $ANSWER, 'to the letter';
    }

    is $nginx->post('/usage-summary', join("\n", $EXAMPLE =~ /\{.*?\}/g),
        type => 'application/x-ndjson')->{body}, $ANSWER, 'as NDJSON';
};


subtest 'an empty list' => sub {
    is $nginx->post('/usage-summary', $_)->{body}, $EMPTY, "\"$_\""
        for '[]', " [ ]\n";

    (my $all = $EMPTY) =~ s/"peak_activity_time":null,//;

    is $nginx->get('/usage-summary')->{body}, $all,
        'GET: nothing was stored by all of this';
    is $nginx->json('/stats/total')->{total_events}, 0, 'nor counted';
};


subtest 'equal counts: the smaller value' => sub {
    my @list = map { { user => $_->[0], type => $_->[1], time => $_->[2] } }
        [ 'zoe', 'b', 1758620000 + 3600 * 24 ], [ 'zoe', 'b', 1758620000 ],
        [ 'Zoe', 'a', 1758620000 + 3600 * 5 ], [ 'Zoe', 'a', 1758620001 ],
        [ 'yan', 'B', 1758620000 + 3600 * 5 ], [ 'yan', 'c', 1758620000 ];

    is_json $nginx->post('/usage-summary', as_list(@list)),
        Analytics::Oracle->new(@list)->summary, 'in every ranking';
};


subtest 'random lists' => sub {
    for my $seed (1 .. 12) {
        my @list = Analytics::Oracle::random_events($seed, 30 * $seed ** 2,
            2 + $seed ** 2, 1 + $seed, 1735689600, 1 + $seed ** 3 * 3600);

        is_json $nginx->post('/usage-summary', as_list(@list)),
            Analytics::Oracle->new(@list)->summary, 'list ' . scalar @list;
    }
};


subtest 'a bad list is refused whole' => sub {
    my @bad = (
        [ 400, undef, '' ],
        [ 400, undef, '[' ],
        [ 400, undef, substr $EXAMPLE, 0, -1 ],
        [ 400, undef, "$EXAMPLE x" ],
        [ 422, undef, '"list"' ],
        [ 422, undef, '[1]' ],
        [ 422, qr/user_id/, '[{"action_type":"a"}]' ],
        [ 422, qr/action_type/, '[{"user_id":"a"}]' ],
        [ 422, qr/action_type/, '[{"user_id":"a","event_type":"a"}]' ],
        [ 422, qr/timestamp/,
            '[{"user_id":"a","action_type":"a","timestamp":"yesterday"}]' ],
    );

    for (@bad) {
        my ($status, $mention, $body) = @$_;

        is_problem $nginx->post('/usage-summary', $body), $status, $mention,
            substr $body, -40;
    }

    my $answer = $nginx->post('/usage-summary', substr($EXAMPLE, 0, -1)
        . ',{"user_id":1}, {"user_id":"a","action_type":[]}]');

    my $errors = $answer->json->{errors};

    is_json [ sort keys %{{ map { $_->{index} => 1 } @$errors }} ],
        '["8","9"]', 'the bad ones are told by their place';

    is $nginx->post('/usage-summary', '[]', type => 'text/csv')->{status}, 415,
        'another type';
};


subtest 'GET tells the same of what was collected' => sub {
    my @list = Analytics::Oracle::random_events(99, 5000, 700, 6, 1735689600,
        40 * 86400);
    my $list = as_list(@list) =~ s/"action_type"/"event_type"/gr;

    is $nginx->post('/events/', $list)->{status}, 201, 'collected';

    my $oracle = Analytics::Oracle->new(@list);

    is_json $nginx->get($_), $oracle->summary_of_all, "GET $_"
        for qw(/usage-summary /api/usage-summary);

    is_json [ keys %{ $nginx->json('/usage-summary')->{action_wise_counts} } ]
        && [ $nginx->get('/usage-summary')->{body} =~ /"(type_\d)":/g ],
        '["type_0","type_1","type_2","type_3","type_4","type_5"]',
        'actions by name';

    my ($small) = ([ map { { %$_, user => 'few ' . $_->{user} % 50 } }
        map { { %$_, user => $_->{user} =~ s/\D+//r } } @list ]);

    is_json $nginx->post('/usage-summary', as_list(@$small)),
        Analytics::Oracle->new(@$small)->summary, 'POST knows only its list';
};


subtest 'GET: equal counts, the smaller value' => sub {
    my $other = Analytics::Test->new->start;

    # the smaller ones come later

    my @list = map { { user => $_->[0], type => $_->[1], time => $_->[2] } }
        (map { [ "user$_", 'z', 1758628800 + 3600 * (9 - $_) ] } 1 .. 9);

    for my $event (@list) {
        is $other->post('/events/', as_list($event) =~ s/action_/event_/r)
            ->{status}, 201, 'collected';
    }

    is_json $other->get('/usage-summary'),
        Analytics::Oracle->new(@list)->summary_of_all, 'in every ranking';

    $other->stop;
};


subtest 'a million events, and others are served meanwhile' => sub {
    my (@parts, %users, %types, %seconds);
    my $state = 1;

    for my $i (0 .. 999_999) {
        $state = ($state * 1103515245 + 12345) % 2147483648;

        my $user   = "user_" . (($state >> 8) % 50_000);
        my $type   = 'type_' . ($state >> 5) % 7;
        my $second = 1758585600 + ($state >> 3) % 86_400;

        $users{$user}++;
        $types{$type}++;
        $seconds{$second}++;

        push @parts, sprintf '{"user_id":"%s","timestamp":"2025-09-23T'
            . '%02d:%02d:%02dZ","action_type":"%s"}', $user,
            ($second % 86_400) / 3600, $second / 60 % 60, $second % 60, $type;
    }

    my $body = '[' . join(',', @parts) . ']';
    @parts = ();

    note 'a body of ' . length($body) . ' bytes';

    # one worker, so that it can only do both if it does not wait for the list

    my $large = $nginx->connect;
    my $small = $nginx->connect;

    $large->send_raw(Analytics::Client::format_request('POST',
        '/usage-summary', type => 'application/json', body => $body));

    my ($served, $answer) = (0);

    until ($answer) {
        die "closed\n" if $large->{eof};

        $small->request(GET => '/stats/total')->{status} == 200 and $served++;

        $large->fill(0);
        $answer = $large->take_response('POST');
    }

    cmp_ok $served, '>', 20, 'small requests are answered meanwhile';
    note "$served of them";

    is $answer->{status}, 200, 'the list is answered' or diag $answer->{body};

    my $got = $answer->json;
    my %hours;
    $hours{ int(($_ % 86_400) / 3600) } += $seconds{$_} for keys %seconds;

    my ($hour) = sort { $hours{$b} <=> $hours{$a} || $a <=> $b } keys %hours;
    my ($peak) = sort { $seconds{$b} <=> $seconds{$a} || $a <=> $b }
        keys %seconds;
    my ($most) = sort { $users{$b} <=> $users{$a} || $a cmp $b } keys %users;

    is $got->{total_events}, 1_000_000, 'all events';
    is $got->{total_unique_users}, scalar keys %users, 'all users';
    is join(' ', @{ $got->{unique_users} }), join(' ', sort keys %users),
        'each of them, by name';
    is_json $got->{action_wise_counts}, { map { $_ => $types{$_} } keys %types },
        'all actions';
    is_json $got->{most_active_user}, { value => $most, count => $users{$most} },
        'the most active user';
    is_json $got->{peak_activity_time}, { count => $seconds{$peak},
        value => Analytics::Oracle::instant($peak) }, 'the busiest second';
    is_json $got->{peak_activity_hour},
        { value => $hour + 0, count => $hours{$hour} }, 'the busiest hour';

    is $large->request(GET => '/health')->{status}, 200,
        'the connection stays usable';
    is $nginx->json('/stats/total')->{total_events}, 5000, 'nothing is stored';
};


$nginx->stop;
done_testing;
