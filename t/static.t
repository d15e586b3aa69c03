# Copyright (C) The nginx analytics authors

# The module works when it is built into nginx ("--add-module"), and is
# silent there when it is not configured, also without "http".

use strict;
use warnings;

use Test::More;

use Analytics::Test;

my $BINARY = root_dir . '/build/static/nginx';

plan skip_all => '"make torture" builds it' unless $ENV{ANALYTICS_TORTURE};
plan skip_all => 'nginx\'s source could not be had: see "make static"'
    unless -x $BINARY;
plan skip_all => 'it is not built with sanitizers' if $ENV{ANALYTICS_PRELOAD};


sub is_silent {
    my ($name, $conf) = @_;

    my $nginx = Analytics::Test->new(binary => $BINARY, conf => $conf);
    my ($valid, $output) = $nginx->check;

    ok $valid, "$name: it is valid";
    is grep({ !/syntax is ok|test is successful/ } split /\n/, $output), 0,
        "$name: it says nothing" or diag($output);
}


is_silent('not configured', "events { }\nhttp {\n"
    . "    server { listen 127.0.0.1:%PORT%; }\n}\n");
is_silent('without http', "events { }\n");

subtest 'configured, it serves' => sub {
    my $nginx = Analytics::Test->new(workers => 1, binary => $BINARY)
        ->start;

    is $nginx->post('/events/', '{"user_id":"a","event_type":"b"}')->{status},
        201, 'an event is taken';
    is $nginx->json('/stats/total')->{total_events}, 1, 'and counted';

    $nginx->stop;
};

done_testing;
