# Copyright (C) The nginx analytics authors

# Workers are killed one after the other, at any moment and at every single
# step of an append and a fold: the service goes on, what was acknowledged is
# there, and everything is there once.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use Analytics::Client;
use Analytics::Test;
use Analytics::Torture;

my $FAULTY = $ENV{ANALYTICS_FAULTY}
    || Analytics::Test::root_dir() . '/build/faulty/ngx_http_analytics_module.so';


subtest 'a worker every 100 ms' => sub {
    my $kills  = long() ? 100 : 12;
    my $nginx  = Analytics::Torture->new->start;
    my $sender = $nginx->sender(clients => 6, pause => 0.01)->start;

    ok $nginx->more(100), 'there is a load';

    my $killed = 0;

    for (1 .. $kills) {
        sleep 0.1;

        my @workers = $nginx->workers;
        my $victim  = $workers[ rand @workers ] // next;

        $killed += kill 'KILL', $victim;

        # somebody answers; a connection to the one that died does not count

        wait_for(sub {
            my $answer = eval { $nginx->get('/stats/total') };
            return $answer && $answer->{status} == 200;
        }) or last;
    }

    is $killed, $kills, 'all were killed, and others answered at once';
    ok $nginx->more(100), 'the load goes on';

    $sender->stop;
    $nginx->settle('the accounts', $sender);
    $nginx->stop;
};


# A worker that dies at its n-th step from the request on.  Returns the answer
# if it lived.

sub fatal {
    my ($nginx, $n, $bytes) = @_;

    my ($worker) = $nginx->workers;
    my $client = $nginx->connect;

    $client->send_raw($bytes =~ s/^(Host:)/X-Analytics-Fault: $n\r\n$1/mr);

    my $answer = $client->response('POST');

    $client->close;

    return $answer if $answer;

    $nginx->another_than($worker);

    return undef;
}


# Events of a log, by what follows "list" in their properties.

sub stored {
    my ($nginx) = @_;

    my %stored;

    for my $event (@{ $nginx->log->{events} }) {
        $stored{$1}++ if $event->{properties} =~ /"list":(\d+)/;
    }

    return \%stored;
}


# A new worker may say that it has not looked at the log yet.

sub total {
    my ($nginx) = @_;

    my $answer;

    wait_for(sub {
        $answer = $nginx->get('/stats/total');
        return $answer->{status} == 200;
    });

    return $answer->json->{total_events} // 'no answer';
}


sub list {
    my ($n, $ids) = @_;

    return '[' . join(',', map {
        sprintf '{"user_id":"user %d","event_type":"type %d",%s'
            . '"metadata":{"list":%d,"n":%d}}', ($n + $_) % 50, $_,
            $ids ? "\"message_id\":\"$n.$_\"," : '', $n, $_
    } 0 .. 2) . ']';
}


sub at_every_step {
    my ($name, $conf, $again) = @_;

    subtest $name => sub {
        my $nginx = Analytics::Torture->new(workers => 1, module => $FAULTY,
            %$conf)->start;
        my ($n, $answer, @wrong, %seen) = (0);

        until ($answer || $n > 5000) {
            $n++;

            my $bytes = Analytics::Client::format_request('POST', '/events/',
                type => 'application/json', body => list($n, $nginx->{id}),
                headers => $again ? ["Idempotency-Key: $n"] : []);

            $answer = fatal($nginx, $n, $bytes);

            # asked first, as it has to bring the zone up to the log; what was
            # not acknowledged may be left to who has the log's lock just now

            my $total  = total($nginx);
            my $stored = stored($nginx);
            my $in_log = 0;
            my $found  = $stored->{$n} // 0;

            $in_log += $_ for values %$stored;
            $seen{$found}++;

            wait_for(sub { ($total = total($nginx)) == $in_log })
                if $total != $in_log;

            push @wrong, "step $n: $total counted, $in_log in the log"
                if $total != $in_log;
            push @wrong, "step $n: $found of 3 in the log"
                if $found != 0 && $found != 3;

            if ($again && !$answer) {
                my $client = $nginx->connect;

                $client->send_raw($bytes);

                my $retry = $client->response('POST');

                push @wrong, "step $n: again, "
                    . ($retry ? $retry->{line} : 'no answer')
                    unless $retry && $retry->{status} == 201;

                $found = stored($nginx)->{$n} // 0;
                push @wrong, "step $n: again, $found of 3 in the log"
                    if $found != 3;
            }

            last if @wrong > 5;
        }

        disarm($nginx);

        ok !@wrong, 'all of a list or nothing, in the log and in the zone'
            or diag join "\n", @wrong;
        is $answer && $answer->{status}, 201, "there are $n steps at most";
        is_json [ sort keys %seen ], '["0","3"]',
            'it died before and behind the append';
        cmp_ok $n, '>', 30, 'it died often enough to say so';

        $nginx->settle('the accounts');
        $nginx->stop;
    };
}


SKIP: {
    skip "no module with fault points at $FAULTY" unless -f $FAULTY;
    skip 'it is not built with sanitizers' if $ENV{ANALYTICS_PRELOAD};

    my $log = 'checkpoint size=1g time=1h; segment 4k;';

    at_every_step('at every step', { log => "$log sync 1s;" });
    at_every_step('with ids of their own, sent again',
        { log => "$log sync 1s;", id => 1 }, 1);
    at_every_step('with a sync each time', { log => "$log sync always;" })
        if long();
}


done_testing;
