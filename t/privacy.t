# Copyright (C) The nginx analytics authors

# Who asks not to be counted is not, where the configuration says so.

use strict;
use warnings;

use Test::More;

use Analytics::Test;

my $nginx = Analytics::Test->new(locations => <<'CONF')->start;
    location = /gpc  { analytics_collect site format=event honor=gpc; }
    location = /both { analytics_collect site format=event honor=dnt honor=gpc; }
CONF

my $client = $nginx->connect;
my $event  = '{"user_id":"a","event_type":"b"}';


sub total { return $nginx->json('/stats/total')->{total_events} }

sub posted {
    my ($path, @headers) = @_;

    return $client->request(POST => $path, type => 'application/json',
        body => $event, headers => [@headers]);
}


for (
    ['/events/', 201, 'Sec-GPC: 1'], ['/events/', 201, 'DNT: 1'],
    ['/gpc', 201], ['/gpc', 204, 'Sec-GPC: 1'], ['/gpc', 204, 'sec-gpc: 1'],
    ['/gpc', 201, 'Sec-GPC: 0'], ['/gpc', 201, 'Sec-GPC:'],
    ['/gpc', 201, 'DNT: 1'],
    ['/both', 204, 'DNT: 1'], ['/both', 204, 'DNT: 0', 'Sec-GPC: 1'],
    ['/both', 201, 'DNT: 0'], ['/both', 201],
) {
    my ($path, $status, @headers) = @$_;

    my $before = total();
    my $answer = posted($path, @headers);

    is $answer->{status}, $status, join ', ', $path, @headers;
    is total() - $before, $status == 201 ? 1 : 0, 'it is counted if it was 201';
    is $answer->{body}, '', 'nothing is said' if $status == 204;
}


subtest 'a large body of who is not counted is not stored either' => sub {
    my $before = total();
    my $body   = '[' . join(',', ($event) x 30_000) . ']';

    my $answer = $client->request(POST => '/gpc', type => 'application/json',
        body => $body, headers => ['Sec-GPC: 1']);

    is $answer->{status}, 204, 'answered';
    is posted('/gpc')->{status}, 201, 'the connection goes on';
    is total() - $before, 1, 'one was counted';
};


$nginx->stop;
done_testing;
