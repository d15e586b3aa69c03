# Copyright (C) The nginx analytics authors

# A body of more than 1 MB is stored in slices: a worker is killed at each
# point of it.  Without a key its first events are stored, each once; with one
# the request that comes again goes on behind them.

use strict;
use warnings;

use Test::More;

use Analytics::Client;
use Analytics::Fault;
use Analytics::Test;
use Analytics::Torture;

plan skip_all => 'no module with fault points'
    unless Analytics::Fault::available();

my $COUNT = 5;
my $PAD   = 'x' x 60000;


# A body whose events take three slices.

sub body {
    my ($n, $id) = @_;

    my $list = '[' . join(',', map {
        "{\"user_id\":\"u$_\",\"event_type\":\"t\","
            . ($id ? "\"message_id\":\"$n/$_\"," : '')
            . "\"metadata\":{\"n\":\"$n/$_\",\"pad\":\"$PAD\"}}"
    } 0 .. $COUNT - 1) . ']';

    return $list . ' ' x (1200 * 1024 - length $list);
}


# Sends it to a worker that dies at its n-th fault point from there.  Returns
# the answer, if it lived.

sub fatally {
    my ($nginx, $n, $body, @headers) = @_;

    my ($worker) = $nginx->workers;
    my $client = $nginx->connect;
    my $answer = $client->request('POST', '/events/', body => $body,
        type => 'application/json',
        headers => ["X-Analytics-Fault: $n", @headers]);

    return $answer if $answer;

    $nginx->another_than($worker);

    return undef;
}


# How the bodies are there: "0..4" of each whose events are all there.

sub stored {
    my ($nginx) = @_;

    my %found;

    $nginx->log(event => sub {
        my ($n, $i) = $_[0]{properties} =~ m{"n":"(\d+)/(\d+)"};

        push @{ $found{$n} }, $i if defined $n;
    });

    return \%found;
}


sub step_by_step {
    my ($name, %arg) = @_;

    subtest $name => sub {
        my $nginx = Analytics::Torture->new(workers => 1, zone => '8m',
            id => $arg{id} ? 1 : 0,
            log => 'segment 4m; checkpoint size=1g time=1h;');
        my $fault = Analytics::Fault->new($nginx->dir . '/fault');

        $nginx->set($fault->environment)->start;

        my $all = join ',', 0 .. $COUNT - 1;
        my ($n, $bodies, $answer, @wrong) = (0, 0);

        until ($answer || $bodies > 3000) {
            $n += long() ? 1 : 1 + int rand 32;
            $bodies++;

            my @headers = $arg{key} ? "Idempotency-Key: $bodies" : ();
            my $body    = body($bodies, $arg{id});

            $answer = fatally($nginx, $n, $body, @headers);

            next if $answer || !$arg{key} && !$arg{id};

            my $again = wait_for(sub {
                my $more = $nginx->post('/events/', $body,
                    headers => \@headers);

                return $more->{status} == 503 ? 0 : $more;
            });

            push @wrong, "point $n: $again->{line}"
                if $again->{status} != 201 || $again->json->{accepted} != $COUNT;
        }

        disarm($nginx);

        is $answer && $answer->{status}, 201, "there are $n points at most";
        cmp_ok $bodies, '>', 7, "killed at $bodies of them";

        my $found = stored($nginx);
        my %times;

        for my $n (1 .. $bodies) {
            my $is = join ',', @{ $found->{$n} // [] };

            $times{$is}++;
            push @wrong, "body $n: $is" if substr($all, 0, length $is) ne $is
                || ($arg{key} || $arg{id}) && $is ne $all;
        }

        ok !@wrong, 'its first events are there, in their order'
            . ($arg{key} || $arg{id} ? ', and in the end all' : '')
            or diag join "\n", @wrong;

        cmp_ok scalar keys %times, '>', 2, 'it died between slices, too'
            or diag explain(\%times) unless $arg{key} || $arg{id};

        $nginx->settle('the accounts');
        $nginx->stop;
    };
}


step_by_step('without a key');
step_by_step('with a key', key => 1);
step_by_step('with ids', id => 1) if long();


# Who looks up many keys does not hold others up.

subtest 'keys are looked up some at a time' => sub {
    my $nginx = Analytics::Torture->new(id => 1, listen => '');
    my $fault = Analytics::Fault->new($nginx->dir . '/fault');

    $nginx->set($fault->environment)->start;

    $fault->arm('keys');

    my $list = '[' . join(',', map {
        "{\"user_id\":\"u\",\"event_type\":\"t\",\"message_id\":\"$_\"}"
    } 1 .. 1000) . ']';
    my $client = $nginx->connect;

    $client->send_raw(Analytics::Client::format_request('POST', '/events/',
        type => 'application/json', body => $list));

    my $pid = $fault->stopped($nginx, 'keys');

    ok $pid, 'a worker stops between two of its looks';
    is $nginx->json('/stats/total')->{total_events}, 0, 'the zone is free';

    kill 'CONT', $pid if $pid;

    is $client->response('POST')->{status}, 201, 'it goes on';
    is $nginx->json('/stats/total')->{total_events}, 1000, 'and stores all';

    $nginx->stop;
};


done_testing;
