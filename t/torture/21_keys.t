# Copyright (C) The nginx analytics authors

# Keys are known for 24 hours, or as long as there is room for them, and
# /health says how long that is.

use strict;
use warnings;

use Test::More;

use Analytics::Test;
use Analytics::Torture;

my $CLOCK = Analytics::Test::root_dir() . '/build/preload/clock.so';

plan skip_all => 'there is no preload/clock.so' unless -f $CLOCK;

my $nginx = Analytics::Torture->new(zone => '1m', id => 1, preload => $CLOCK,
    log => 'checkpoint size=1g time=1h;', http => 'analytics_zone memory 1m { }',
    locations => <<'CONF');
        location = /memory/       { analytics_collect memory format=event; }
        location = /memory/total  { analytics_stats memory total; }
CONF
my $clock = $nginx->dir . '/clock';
my $hours = 0;


sub at {
    my ($now) = @_;

    $hours = $now;

    open my $file, -f $clock ? '+<' : '>', $clock or die "$clock: $!\n";
    syswrite $file, pack 'q', int($hours * 3600);
    close $file;
    chmod 0644, $clock;
}


my $YESTERDAY = Analytics::Oracle::instant(time - 86400);

# Each of these is posted now and then; it is the same as before, or counted
# anew.

my %ask = (
    'a request'             => [ '/events/', 'key', '' ],
    'an event'              => [ '/events/', undef, ',"message_id":"one"' ],
    'a request, no log'     => [ '/memory/', 'key', '' ],
    'an event, no log'      => [ '/memory/', undef, ',"message_id":"one"' ],
);
my %id;


sub ask {
    my ($path, $key, $more) = @_;

    my $answer = $nginx->post($path, '{"user_id":"a","event_type":"b",'
        . "\"timestamp\":\"$YESTERDAY\"$more}",
        headers => defined $key ? ["Idempotency-Key: $key"] : []);

    return $answer->{status} == 201 ? $answer->json->{id} : $answer->{line};
}


sub known {
    my ($name, $known, @what) = @_;

    for my $what (@what ? @what : sort keys %ask) {
        my $id = ask(@{ $ask{$what} });

        $known ? is($id, $id{$what}, "$what: $name")
            : isnt($id, $id{$what} // '', "$what: $name");
        like $id, qr/^\d+$/, 'is stored' if !$known;

        $id{$what} = $id;
    }
}


at(0);
$nginx->set(env => { ANALYTICS_CLOCK => $clock })->start;

known('is new', 0);
known('is known at once', 1);

at(23.9);
known('is known after nearly 24 hours', 1);

$nginx->kill_at_once->restart;

my @logged = ('a request', 'an event');
my @others = ('a request, no log', 'an event, no log');

delete @id{@others};
known('is known after a restart', 1, @logged);
known('is new after a restart', 0, @others);

at(24.1);
known('is forgotten after 24 hours', 0, @logged);
known('is known for 24 hours from when it was new', 1, @others);

at(48.2);
known('is forgotten after 24 hours', 0);
known('is known again', 1);

is $nginx->json('/stats/total')->{total_events}, 6, 'each is counted once';
is $nginx->health->{idempotency_window_seconds}, 86400,
    'keys are known for 24 hours';


# More ids than there is room for.

at(49);

for my $n (1 .. 10) {
    is $nginx->post('/events/', '[' . join(',', map {
        "{\"user_id\":\"f\",\"event_type\":\"f\",\"message_id\":\"$n/$_\"}"
    } 1 .. 1000) . ']')->{status}, 201, 'a flood' or last;
}

at(50);

my $window = $nginx->health->{idempotency_window_seconds};

cmp_ok $window, '<', 86400, "keys are known for $window seconds, /health says";
cmp_ok $window, '>=', 3600, 'these are those of the last hour';
isnt ask(@{ $ask{'a request'} }), $id{'a request'}, 'an older one is forgotten';
is $nginx->post('/events/', '{"user_id":"f","event_type":"f",'
    . '"message_id":"10/1000"}')->json->{id},
    $nginx->json('/stats/total')->{total_events} - 1, 'a newer one is known';

$nginx->settle('the accounts');
$nginx->stop;

done_testing;
