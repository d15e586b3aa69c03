# Copyright (C) The nginx analytics authors

# An id that a sender gave an event is in every answer as in the one to its
# POST, from the log and from the store; so what was read can be posted again,
# and nothing is counted twice.  It is gone when the user is erased.

use strict;
use warnings;

use JSON::PP ();
use Test::More;

use Analytics::Test;

my $nginx = Analytics::Test->new(
    zone => '32m', path => 1, id => 1,
    log => 'store on; sync off; checkpoint time=1s size=1m;',
    locations => <<'CONF',
        location /users/ {
            analytics_person  site format=event;
            analytics_erase   site;
        }
CONF
)->start;

my $dir  = $nginx->dir . '/data';
my $json = JSON::PP->new->canonical;
my $mark = 'own' . join '', map { int rand 10 } 1 .. 12;


sub total { return $nginx->json('/stats/total')->{total_events} }


sub files_with {
    my ($text) = @_;

    return grep { index(Analytics::Test::read_file($_), $text) >= 0 }
        grep { -f } glob "$dir/* $dir/.??*";
}


my @EVENTS = (
    { message_id => "$mark-1", timestamp => '2025-10-04T01:02:03.5Z',
      metadata => { n => 1 } },
    { message_id => "$mark-2" },
    { metadata => { n => 3 } },
    { message_id => "=$mark,4", metadata => { a => [1, 2] } },
);
my %posted;

for my $user ('stored', 'logged') {
    for my $event (@EVENTS) {
        my %event = (%$event, user_id => $user, event_type => 't');

        $event{message_id} .= " $user" if $event{message_id};

        my $answer = $nginx->post('/events/', $json->encode(\%event));

        is $answer->{status}, 201, "of $user";
        push @{ $posted{$user} }, $answer->{body};
    }

    # what comes before this is in the store, what comes behind it is not

    next if $user eq 'logged';

    for (1 .. 7) {
        my $others = join "\n",
            ('{"user_id":"other","event_type":"t"}') x 5000;

        $nginx->post('/events/', $others, type => 'application/x-ndjson')
            ->{status} == 201 or die "not taken\n";
    }

    ok wait_for(sub { $nginx->health->{store}{behind_events} < 32_768 }),
        'they are in the store';
}

# those without a time of their own come behind

for my $user ('stored', 'logged') {
    is $nginx->get("/events/?user_id=$user&order=asc")->{body},
        '[' . join(',', @{ $posted{$user} }) . ']', "all of $user as posted";
    is $nginx->get("/events/export?user_id=$user")->{body},
        join('', map { "$_\n" } @{ $posted{$user} }), 'and exported';

    is_deeply [ map { $_->{event}{message_id} }
        @{ $nginx->json("/users/$user/export")->{events} } ],
        [ map { $_ && "$_ $user" } map { $_->{message_id} } @EVENTS ],
        'their ids are told to who they are about';
}

like $nginx->get('/events/export?user_id=stored&format=csv')->{body},
    qr/^id,message_id,user_id,.*\r\n1,\Q$mark\E-1[ ]stored,stored,.*
        \r\n\d+,,stored,.*\r\n\d+,"'=\Q$mark\E,4[ ]stored",stored,/xs,
    'a column of a table';

like `sqlite3 -readonly $dir/0*.db "SELECT event_id FROM events
    WHERE user_id = 'stored'"`, qr/^\Q$mark\E-1 stored$/m,
    'and of the view, for any tool';


subtest 'what was read is posted again' => sub {
    my $total = total();

    for my $user ('stored', 'logged') {
        my $lines = $nginx->get("/events/export?user_id=$user")->{body};
        my $known = join '', grep { /message_id/ } $lines =~ /.*\n/g;

        for (1, 2) {
            my $answer = $nginx->post('/events/', $known,
                type => 'application/x-ndjson');

            is $answer->{status}, 201, "$user: it is taken"
                or diag $answer->{body};
        }
    }

    is total(), $total, 'and nothing is counted again';

    my $other = $posted{logged}[1] =~ s/"timestamp":"\K\d+/1999/r;

    is_problem $nginx->post('/events/', $other), 422, qr/message_id/,
        'an event of another time is another one';
};


subtest 'who is erased leaves no id' => sub {
    ok scalar files_with($mark), 'before that there are';

    is $nginx->request(DELETE => "/users/$_")->{status}, 202, "$_ is erased"
        for 'stored', 'logged';

    unlike $nginx->get('/events/export')->{body}, qr/\Q$mark\E/,
        'nothing is told';
    ok wait_for(sub { !files_with($mark) }), 'no file has it';
};

$nginx->stop;
done_testing;
