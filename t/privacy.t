# Copyright (C) The nginx analytics authors

# Who asks not to be counted is not, and of addresses only the network is kept,
# where the configuration says so.

use strict;
use warnings;

use Test::More;

use Analytics::Test;

my $nginx = Analytics::Test->new(path => 1, log => 'sync off;',
    formats => <<'FORMATS', locations => <<'CONF')->start;
    analytics_format visit {
        user        visitor;
        type        what;
        properties  *;
        truncate    visitor ip;
    }
FORMATS
    location = /visit  { analytics_collect site format=visit;
                         analytics_events  site format=visit; }
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


subtest 'of an address the network is kept' => sub {
    my $answer = $client->request(POST => '/visit', type => 'application/json',
        body => '{"visitor":"198.51.100.23","what":"view","ip":'
            . '"2001:db8:aaaa:bbbb::1","n":1}');

    is $answer->json->{visitor}, '198.51.100.0', 'of the user';
    is $answer->json->{ip}, '2001:db8:aaaa::', 'of a property';
    is_json $nginx->json('/visit?user_id=198.51.100.0'), [$answer->json],
        'stored so';

    my @files = glob $nginx->dir . '/data/*';

    ok scalar(@files), 'there are files';
    is scalar(grep { Analytics::Test::read_file($_) =~ /100\.23|bbbb/ } @files),
        0, 'and no other way';
};


subtest 'what cannot be truncated' => sub {
    for (
        ['user u; type t; properties *; truncate;',
            qr/invalid number of arguments in "truncate"/],
        ['user u; type t; properties *; truncate a; truncate b;',
            qr/"truncate" is duplicate/],
        ['user u; type t; truncate ip;', qr/field "ip" .* no property/],
        ['user u; type t; properties *; truncate t;',
            qr/field "t" .* no property/],
        ['user u integer; type t; truncate u;', qr/field "u" .* no property/],
        ['user u; type t; properties *; truncate "";', qr/invalid field ""/],
    ) {
        my ($lines, $error) = @$_;

        my ($ok, $said) = Analytics::Test->new(
            formats => "analytics_format x { $lines }")->check;

        ok !$ok, $lines;
        like $said, $error, 'it says why';
    }
};


$nginx->stop;
done_testing;
