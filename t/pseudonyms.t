# Copyright (C) The nginx analytics authors

# Where a zone has pseudonyms no file says who a user is, and what is known of
# a user can be asked for, and erased, as long as the key lasts.  Then the key
# is gone, and nobody can tell which of the next one's users it was.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::More;

use Analytics::Log;
use Analytics::Test;

my $CLOCK = Analytics::Test::root_dir() . '/build/preload/clock.so';
my $DAY   = 86400;

plan skip_all => 'there is no preload/clock.so: "make check" builds it'
    unless -f $CLOCK;

my $json  = JSON::PP->new->utf8->canonical;
my $nginx = Analytics::Test->new(
    path => 1, id => 1, log => 'store on; sync off; pseudonyms day;',
    preload => $CLOCK, locations => <<'CONF',
        location /users/ {
            analytics_person  site format=event;
            analytics_erase   site;
        }
CONF
);
my $dir   = $nginx->dir . '/data';
my $clock = $nginx->dir . '/clock';

$nginx->set(env => { ANALYTICS_CLOCK => $clock });


# Without the file's name changing: it is mapped.

sub set_clock {
    my ($ahead) = @_;

    open my $file, -f $clock ? '+<' : '>', $clock or die "$clock: $!\n";
    syswrite $file, pack 'q', $ahead;
    close $file;
    chmod 0644, $clock;
}


sub key_file { return Analytics::Test::read_file("$dir/pseudonyms") }

sub key { return pack 'H*', (split ' ', key_file())[1] }

sub pseudonym {
    my ($user, $key) = @_;

    my $text = encode_base64(substr(hmac_sha256($user, $key // key()), 0, 16),
        '');

    return '~' . ($text =~ tr{+/}{-_}r =~ s/=+$//r);
}


sub event {
    my ($user, %arg) = @_;

    return { user_id => $user, event_type => 'seen', %arg };
}


sub post {
    my @events = @_;

    return $nginx->post('/events/', $json->encode(\@events))->{status};
}


sub total_of {
    my ($user) = @_;

    my $answer = $nginx->get("/stats/user-activity/$user");

    return $answer->{status} == 200 ? $answer->json->{total_events}
        : $answer->{status};
}


sub files_with {
    my ($text) = @_;

    return grep { index(Analytics::Test::read_file($_), $text) >= 0 }
        glob "$dir/*";
}


# Days are of UTC: a clock that is ahead begins at noon of its day.

my $ahead = $DAY + $DAY / 2 - time % $DAY;

set_clock($ahead);
$nginx->start;

my $name = 'somebody-' . join '', map { int rand 10 } 1 .. 12;


subtest 'stored under pseudonyms only' => sub {
    my $answer = $nginx->post('/events/', $json->encode(event($name)));

    is $answer->{status}, 201, 'one event';
    is $answer->json->{user_id}, pseudonym($name), 'the answer says as whom';
    is post(map { event($_ % 2 ? $name : "other $_") } 1 .. 100), 201, 'a list';
    is post(map { event($name, metadata => { pad => 'x' x 500 }) } 1 .. 1000),
        201, 'a large one';

    my $n = 1051;

    is total_of($name), $n, 'by name';
    is total_of(pseudonym($name)), $n, 'and by pseudonym';
    is $nginx->json('/stats/by-user?limit=1')->[0]{user_id}, pseudonym($name),
        'a ranking has pseudonyms';

    for my $user ($name, pseudonym($name)) {
        my $events = $nginx->json("/events/?user_id=$user&limit=1000");

        is scalar @$events, 1000, 'events';
        is_deeply [grep { $_->{user_id} ne pseudonym($name) } @$events], [],
            'all of the user';
        is scalar @{ $nginx->json("/users/$user/export")->{events} }, $n,
            'the export has all';
    }

    is_deeply [files_with($name)], [], 'no file has the name';
    is scalar(grep { $_->{user} eq pseudonym($name) }
        @{ Analytics::Log->read($dir)->{events} }), $n, 'the log has the other';
    is((stat "$dir/pseudonyms")[2] & 0777, 0600, 'nobody else reads the key');

    is $nginx->get('/api/events?user_id=' . pseudonym(6))->{status}, 200,
        'also where users are integers';
};


subtest 'what was sent as a pseudonym is a name like any other' => sub {
    my $copy = pseudonym($name);

    is post(event($copy)), 201, 'taken';
    is total_of($name), 1051, 'but not for the one it names';
    is total_of(pseudonym($copy)), 1, 'it has a pseudonym of its own';
};


subtest 'all of a day and all processes have one key' => sub {
    my $key = key();

    $nginx->kill_all;
    $nginx->start;
    is total_of($name), 1051, 'after kill -9';

    $nginx->reload;
    is post(event($name)), 201, 'and a reload';
    is total_of($name), 1052, 'it is the same user';
    is key(), $key, 'and the same key';
};


my $old = key();
my $retry = event('retried', message_id => 'one-of-them',
    timestamp => '2025-10-04T10:00:00Z');

is post($retry), 201, 'an event with an id of its own';


subtest 'a day later' => sub {
    set_clock($ahead + $DAY / 2 + 10);

    ok wait_for(sub { total_of($name) eq '404' }), 'nobody knows who it was';
    ok wait_for(sub { key() ne $old }), 'the file has another key';
    is key(), hmac_sha256('next', $old), 'the next one';
    is_deeply [files_with(unpack 'H*', $old)], [], 'the old one is gone';
    is total_of(pseudonym($name, $old)), 1052, 'what was counted is still there';

    is post(event($name)), 201, 'the user comes back';
    is total_of($name), 1, 'as somebody new';

    my $total = $nginx->json('/stats/total')->{total_events};

    is post($retry), 201, 'a retry of the day before';
    is $nginx->json('/stats/total')->{total_events}, $total,
        'is still known to be one';
};


subtest 'erasure reaches the day' => sub {
    is $nginx->request(DELETE => "/users/$name")->{status}, 202, 'by name';
    is total_of($name), 404, 'nobody knows of today';
    is total_of(pseudonym($name, $old)), 1052, 'the day before stays';

    my $other = pseudonym($name, $old);

    is $nginx->request(DELETE => "/users/$other")->{status}, 202,
        'unless the pseudonym is known';
    ok wait_for(sub { ($nginx->health->{erasing} // '') eq '0' }), 'done';
    is_deeply [files_with($other)], [], 'no file has it any more';
};


subtest 'days that nginx did not see' => sub {
    my $before = key();

    $nginx->stop;
    set_clock($ahead + 5 * $DAY);
    $nginx->start;

    $before = hmac_sha256('next', $before) for 1 .. 4;

    is key(), $before, 'their keys are passed over';
};


subtest 'a key that cannot be read' => sub {
    $nginx->stop;

    open my $file, '>', "$dir/pseudonyms" or die "$!\n";
    print $file "nonsense\n";
    close $file;

    $nginx->set(wait => 0)->expect_log(
        qr/data\/pseudonyms" is malformed/)->start;

    ok wait_for(sub { $nginx->error_log =~ /is malformed/ }), 'it is said';
    is post(event('x')), 503, 'nothing is taken';
    is Analytics::Test::read_file("$dir/pseudonyms"), "nonsense\n",
        'it is left as it is';

    unlink "$dir/pseudonyms";

    ok wait_for(sub { post(event('x')) == 201 }), 'served when it is gone';
};


subtest 'what cannot be configured' => sub {
    for (
        ['pseudonyms hour;', qr/invalid value of "pseudonyms" "hour"/],
        ['pseudonyms;', qr/invalid number of arguments/],
        ['pseudonyms day; pseudonyms day;', qr/"pseudonyms" is duplicate/],
    ) {
        my ($lines, $error) = @$_;

        my ($ok, $said) = Analytics::Test->new(path => 1, log => $lines)->check;

        ok !$ok, $lines;
        like $said, $error, 'it says why';
    }

    my ($ok, $said) = Analytics::Test->new(log => 'pseudonyms day;')->check;

    ok !$ok, 'without a path';
    like $said, qr/"pseudonyms" needs "path"/, 'it says why';
};


$nginx->stop;
done_testing;
