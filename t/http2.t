# Copyright (C) The nginx analytics authors

# HTTP/2: bodies without a length, many streams on one connection, and
# refusals that leave the others alone.

use strict;
use warnings;

use File::Temp ();
use Test::More;

use Analytics::Test;

my ($NGHTTP) = grep { -x } map { "$_/nghttp" } split /:/, $ENV{PATH};

plan skip_all => 'nghttp is not installed (Debian: nghttp2-client)'
    unless $NGHTTP;

my $nginx = Analytics::Test->new(listen => 'http2', buffer => '16k',
    locations => <<'CONF')->start;
        location = /file/ {
            client_body_in_file_only clean;
            analytics_collect site format=event;
        }
CONF

my $stored = 0;


# Runs nghttp and returns status and body of what it asked for.

sub ask {
    my ($path, $body, %arg) = @_;

    my @command = ($NGHTTP, '-v', '-t', $Analytics::Client::TIMEOUT);
    my $file;

    if (defined $body) {
        $file = File::Temp->new;
        print {$file} $body;
        close $file;

        push @command, '-d', "$file",
            '-H', 'content-type: ' . ($arg{type} // 'application/json');
        push @command, '--no-content-length' if $arg{no_length};
    }

    push @command, '-H', ":method: $arg{method}" if $arg{method};
    push @command, '-m', $arg{times} if $arg{times};
    push @command, 'http://127.0.0.1:' . $nginx->port . $path;

    open my $pipe, '-|', @command or die "nghttp: $!\n";
    my $output = do { local $/; readline $pipe };
    close $pipe;

    my @status = $output =~ /recv \(stream_id=\d+\) :status: (\d+)/g;

    $output =~ s/^\[.*?\].*?(?:\n +.*)*\n//mg;

    return ($output, @status);
}


my $EVENT = '{"user_id":"u","event_type":"t","timestamp":"2025-10-04T12:30:00Z"}';
my $LIST  = '[' . join(',', ($EVENT) x 2000) . ']';

my ($body, @status) = ask('/events/', $EVENT);

is "@status", '201', 'an event';
like $body, qr/\{"id":1,"user_id":"u","event_type":"t"/, 'answered in full';
$stored++;

for my $path (qw(/events/ /file/)) {
    for my $no_length (0, 1) {
        my $what = "$path, " . ($no_length ? 'no length' : 'with its length');

        ($body, @status) = ask($path, $LIST, no_length => $no_length);

        is "@status", '201', "a list of 2000, $what";
        like $body, qr/"accepted":2000,"first_id":@{[ $stored + 1 ]},/,
            'all of it';
        $stored += 2000;
    }
}

(undef, @status) = ask('/events/', $EVENT, times => 50);

is join(' ', @status), join(' ', ('201') x 50), '50 streams at once';
$stored += 50;

for (
    [ 'not JSON', 400, '{' ],
    [ 'no event', 422, '{}' ],
    [ 'an empty body', 400, '' ],
    [ 'a bad list', 422, substr($LIST, 0, -1) . ',1]' ],
) {
    my ($name, $expected, $bad) = @$_;

    ($body, @status) = ask('/events/', $bad, times => 5);

    is join(' ', @status), join(' ', ($expected) x 5), "$name, five times";
    like $body, qr/"status":\s*$expected/, "$name: says so";

    ($body, @status) = ask('/file/', $bad, no_length => 1);

    is "@status", $expected, "$name, no length, through a file";
}

(undef, @status) = ask('/events/', $EVENT, type => 'text/plain');
is "@status", '415', 'another type';

(undef, @status) = ask('/events/');
is "@status", '405', 'GET where nothing is to get';

(undef, @status) = ask('/stats/total', undef, method => 'HEAD');
is "@status", '200', 'HEAD';

($body, @status) = ask('/stats/total');

is "@status", '200', 'GET';
like $body, qr/"total_events":$stored,/, 'what was taken was stored, once';

$nginx->stop;
done_testing;
