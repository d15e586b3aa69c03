# Copyright (C) The nginx analytics authors

# A directive that cannot be meant fails nginx -t with the file, the line and
# the offending token; a module that is loaded but not configured is silent.

use strict;
use warnings;

use Test::More;

use Analytics::Test;

my $nginx = Analytics::Test->new;

my $ZONE   = "analytics_zone site 16m { types 10; }\n";
my $FORMAT = "analytics_format event { user u; type t; }\n";


# Tests a configuration; what is to be blamed stands on the line that ends in
# "!".

sub check {
    my ($http, $main) = @_;

    my $conf = "load_module %MODULE%;\nevents { }\n" . ($main // '');

    $conf .= "http {\n$http\n}\n" if defined $http;

    my @lines = split /\n/, $nginx->set(conf => $conf)->config;
    my ($line) = grep { $lines[$_ - 1] =~ /!$/ } 1 .. @lines;

    my ($ok, $said) = $nginx->set(conf => $conf =~ s/!$//mgr)->check;

    return ($ok, $said, $line);
}


sub refused {
    my ($name, $token, $http, $main) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($ok, $said, $line) = check($http, $main);

    subtest $name => sub {
        ok !$ok, 'nginx -t fails';
        like $said, qr/\[emerg\] .*in \S+nginx\.conf:\d+$/m,
            'with the file and a line';
        like $said, qr/nginx\.conf:$line$/m, "on line $line" if $line;
        like $said, qr/\[emerg\] .*\Q$token\E.*nginx\.conf/, 'and the token'
            if defined $token;
        is scalar(() = $said =~ /\[emerg\]/g), 1, 'once';
    };
}


sub accepted {
    my ($name, $http, $main) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($ok, $said) = check($http, $main);

    ok $ok, $name or diag $said;

    my @lines = grep { !/syntax is ok|test is successful/ } split /\n/, $said;

    is "@lines", '', "$name: nothing else is said";
}


subtest 'zones' => sub {
    refused(@$_) for
        [ 'no size', 'analytics_zone', "analytics_zone site {!\n}" ],
        [ 'no name', 'analytics_zone', "analytics_zone {!\n}" ],
        [ 'too much', 'analytics_zone', "analytics_zone site 16m x {!\n}" ],
        [ 'an empty name', '""', "analytics_zone \"\" 16m {!\n}" ],
        [ 'a bad size', '16x', "analytics_zone site 16x {!\n}" ],
        [ 'a size that is none', 'large', "analytics_zone site large {!\n}" ],
        [ 'a negative size', '-16m', "analytics_zone site -16m {!\n}" ],
        [ 'too small', 'site', "analytics_zone site 8k {\n}" ],
        [ 'too small for its types', 'site',
            "analytics_zone site 1m { types 10000; }" ],
        [ 'twice', 'site', "$ZONE analytics_zone site 16m {!\n}" ],
        [ 'another size', 'site', "$ZONE analytics_zone site 32m {!\n}" ],
        [ 'a name in use', 'site',
            "limit_req_zone \$uri zone=site:16m rate=1r/s;\n$ZONE" ],
        [ 'in a server', 'analytics_zone', "server {\nanalytics_zone s 1m {!\n} }" ],

        [ 'an unknown line', 'bogus',
            "analytics_zone site 16m {\nbogus 1;!\n}" ],
        (map { [ "types $_", $_, "analytics_zone site 16m {\ntypes $_;!\n}" ] }
            qw(abc 0 -1 10001 1.5 1k 99999999999999999999)),
        [ 'types: none', 'types', "analytics_zone site 16m {\ntypes;!\n}" ],
        [ 'types: two', 'types', "analytics_zone site 16m {\ntypes 1 2;!\n}" ],
        [ 'types twice', 'types',
            "analytics_zone site 16m {\ntypes 1;\ntypes 2;!\n}" ],
        (map { [ "retain $_", $_, "analytics_zone site 16m {\nretain $_;!\n}" ] }
            'totals=', 'totals=x', 'totals=0', 'totals=-1d', 'totals=5',
            'total=all', 'totals=ALLx', 'bogus', 'totals=999999999999999y'),
        [ 'retain: none', 'retain', "analytics_zone site 16m {\nretain;!\n}" ],
        [ 'retain twice', 'retain', "analytics_zone site 16m {\n"
            . "retain totals=all;\nretain totals=90d;!\n}" ],
        [ 'a block in it', undef,
            "analytics_zone site 16m {\ntypes 5 {!\n} }" ];

    accepted(@$_) for
        [ 'the least', 'analytics_zone site 16m { }' ],
        [ 'all of it',
            'analytics_zone site 16m { types 10; retain totals=90d; }' ],
        [ 'years', 'analytics_zone site 16m { retain totals=2y; }' ],
        [ 'several', "$ZONE analytics_zone other 16m { }" ];
};


subtest 'logs' => sub {
    my $dir  = $nginx->dir;
    my $zone = sub { return "analytics_zone site 16m {\n$_[0]\n}" };

    mkdir "$dir/real" or die "$dir/real: $!\n";
    symlink 'real', "$dir/link" or die "$dir/link: $!\n";

    refused($_->[0], $_->[1], $zone->($_->[2])) for
        [ 'path: none', 'path', 'path;!' ],
        [ 'path: two', 'path', 'path a b;!' ],
        [ 'path twice', '"path" is duplicate', "path a;\npath b;!" ],
        [ 'an empty path', '""', 'path "";!' ],
        [ 'the root', '"/"', 'path /;!' ],
        [ 'the root in slashes', '"///"', 'path ///;!' ],
        [ 'a path without a parent', "the directory \"$dir/no/such\" of zone "
            . '"site" cannot be made: its parent does not exist and is not '
            . 'created', 'path %DIR%/no/such;!' ],
        [ 'a file', "\"$dir/nginx.conf\" of zone \"site\" is not a directory",
            'path %DIR%/nginx.conf;!' ],
        [ 'a path below a file', 'its parent is not a directory',
            'path %DIR%/nginx.conf/data;!' ],

        (map { [ "sync $_", "\"$_\"", "path data;\nsync $_;!" ] }
            qw(Always on abc 0 0ms -1s 1x 1.5s 3601s 61m 2h
            99999999999999999999)),
        [ 'sync: none', 'sync', 'sync;!' ],
        [ 'sync: two', 'sync', 'sync 1s 2s;!' ],
        [ 'sync twice', '"sync" is duplicate', "sync off;\nsync 1s;!" ],

        (map { [ "segment $_", "\"$_\"", "path data;\nsegment $_;!" ] }
            qw(0 -1 4095 3k 1025m 2g abc 64x 99999999999999999999)),
        [ 'segment: none', 'segment', 'segment;!' ],
        [ 'segment: two', 'segment', 'segment 1m 2m;!' ],
        [ 'segment twice', '"segment" is duplicate',
            "segment 1m;\nsegment 2m;!" ],

        (map { [ "checkpoint $_", "\"$_\"", "path data;\ncheckpoint $_;!" ] }
            qw(10m time time= time=0 time=999ms time=abc time=-1m time=25d
            size=9999999999g size= size=0 size=4095 size=3k size=-1 size=abc sizes=1m)),
        [ 'checkpoint: none', 'checkpoint', 'checkpoint;!' ],
        [ 'checkpoint: three', 'checkpoint',
            'checkpoint time=1m size=1m time=2m;!' ],
        [ 'checkpoint twice', '"checkpoint" is duplicate',
            "checkpoint time=1m;\ncheckpoint size=1m;!" ],
        [ 'a time twice', '"time" is duplicate',
            'checkpoint time=1m time=2m;!' ],
        [ 'a size twice', '"size" is duplicate',
            'checkpoint size=1m size=2m;!' ];

    refused("$_->[0] without a path", "\"$_->[0]\" needs \"path\"",
        "analytics_zone site 16m {\n$_->[0] $_->[1];\n}!") for
        [ sync => 'off' ], [ sync => '1s' ], [ segment => '1m' ],
        [ checkpoint => 'time=1m' ], [ checkpoint => 'size=1m' ];

    accepted($_, $zone->($_)) for
        'path data;', 'path %DIR%/data;', 'path %DIR%/data///;',
        'path real;', 'path link;',
        (map { "path data; sync $_;" } qw(always off 1ms 1s 5 1h)),
        (map { "path data; segment $_;" } qw(4k 4096 64m 1g)),
        (map { "path data; checkpoint $_;" } 'time=1s', 'size=4k',
            'size=1m time=24d', 'time=10m size=128m'),
        'sync off; segment 1m; checkpoint size=1m; path data;';
};


# However it is called, a directory has one log.

subtest 'one directory, one zone' => sub {
    my $dir   = $nginx->dir;
    my $zones = sub {
        return "analytics_zone one 16m { path $_[0]; }\n"
            . "analytics_zone two 16m {\npath $_[1];!\n}";
    };

    refused("$_->[0] and $_->[1]", 'of zone "two" is that of zone "one"',
        $zones->(@$_)) for
        [ 'data', 'data' ], [ 'data', 'data/' ], [ 'data', '%DIR%/data' ],
        [ 'data', './data' ], [ 'data', 'real/../data' ], [ 'data', '/%DIR%/data' ],
        [ 'real', 'link' ], [ 'link', './real' ], [ 'real/data', 'link/data' ];

    accepted("$_->[0] and $_->[1]", $zones->(@$_) =~ s/!$//mr) for
        [ 'one', 'two' ], [ 'real', 'two' ], [ 'real/data', 'data' ],
        [ 'real/one', 'link/two' ], [ 'real', 'real/data' ];

    refused("a directory of nginx's own", "is one of nginx's own",
        "$_\nanalytics_zone site 16m {\npath %DIR%/own;!\n}") for
        'server { location / { proxy_temp_path %DIR%/own; } }',
        'server { location / { client_body_temp_path %DIR%/own/ 1 2; } }';
};


# Started by root, nginx gives its directories to the workers' user: not those
# of somebody else.  Another than root can do nothing with them.

sub worker_uid {
    my ($user) = Analytics::Test->user =~ /user (\S+);/;

    return scalar getpwnam $user // 'nobody';
}


subtest "somebody else's directory" => sub {
    if ($> != 0) {
        refused("root's", "belongs to uid 0, but nginx runs as uid $>",
            "analytics_zone site 16m {\npath /usr;!\n}");
        return;
    }

    my $dir  = $nginx->dir . '/owned';
    my $zone = "analytics_zone site 16m {\npath owned;!\n}";
    my $user = Analytics::Test->user;

    mkdir $dir or die "$dir: $!\n";

    chown 54321, -1, $dir or die "$dir: $!\n";
    refused('without "user"', "\"$dir\" of zone \"site\" belongs to uid 54321, "
        . 'neither to the workers\' user "nobody" nor to root', $zone);
    refused('with "user"', $user =~ /user (\S+);/ ? "user \"$1\"" : 'user',
        $zone, $user);

    is +(stat $dir)[4], 54321, 'and stays theirs';

    chown worker_uid(), -1, $dir or die "$dir: $!\n";
    accepted("the workers' own", $zone =~ s/!$//mr, $user);

    chown 0, -1, $dir or die "$dir: $!\n";
    accepted("root's own, with \"user\"", $zone =~ s/!$//mr, $user);
    accepted("root's own, without", $zone =~ s/!$//mr);
    is +(stat $dir)[4], 0, 'which is given away by a start only';
};


subtest 'formats' => sub {
    refused(@$_) for
        [ 'no name', 'analytics_format', "analytics_format {!\n}" ],
        [ 'two names', 'analytics_format', "analytics_format a b {!\n}" ],
        [ 'nothing in it', 'user', "analytics_format event {\n}" ],
        [ 'no user', 'user', "analytics_format event {\ntype t;\n}" ],
        [ 'no type', 'type', "analytics_format event {\nuser u;\n}" ],
        [ 'twice', 'event', "$FORMAT analytics_format event {!\nuser u; type t; }" ],
        [ 'an unknown line', 'bogus',
            "analytics_format event {\nbogus x;!\n}" ],
        [ 'an unknown line like a field', 'user_id',
            "analytics_format event {\nuser_id x;!\n}" ],
        [ 'id: none', 'id', "analytics_format event {\nid;!\n}" ],
        [ 'id: two', 'id', "analytics_format event {\nid a b;!\n}" ],
        [ 'id twice', '"id" is duplicate',
            "analytics_format event {\nid a;\nid b;!\n}" ],
        [ 'a constant id', '=x', "analytics_format event {\nid =x;!\n}" ],
        [ 'an empty id', '""', "analytics_format event {\nid \"\";!\n}" ],
        [ 'an id too long', 'x' x 200,
            "analytics_format event {\nid " . 'x' x 256 . ";!\n}" ],
        [ 'an id that is a field already', 'stands twice',
            "analytics_format event {\nuser f;\nid f;!\n}" ],
        [ 'a field that is the id already', 'stands twice',
            "analytics_format event {\nid f;\nproperties f;!\n}" ],
        (map { [ "$_ id", 'the number that answers give an event',
            "analytics_format event {\n$_ id;!\n}" ] }
            qw(user type time properties id)),
        [ 'user: none', 'user', "analytics_format event {\nuser;!\n}" ],
        [ 'user twice', 'user',
            "analytics_format event {\nuser u;\nuser v;!\ntype t; }" ],
        [ 'an unknown kind of user', 'float',
            "analytics_format event {\nuser u float;!\n}" ],
        [ 'an unknown time', 'epoch_us',
            "analytics_format event {\ntime t epoch_us;!\n}" ],
        [ 'too much of a time', 'time',
            "analytics_format event {\ntime t epoch x;!\n}" ],
        [ 'an empty constant', '=', "analytics_format event {\ntype =;!\n}" ],
        [ 'a constant user', '=me',
            "analytics_format event {\nuser =me;!\ntype t; }" ],
        [ 'a constant time', '=now',
            "analytics_format event {\ntime =now;!\n}" ],
        [ 'constant properties', '=x',
            "analytics_format event {\nproperties =x;!\n}" ],
        [ 'a constant too long', 'x' x 200,
            "analytics_format event {\ntype =" . 'x' x 256 . ";!\n}" ],
        [ 'an empty field', '""', "analytics_format event {\nuser \"\";!\n}" ],
        [ 'a field twice', 'f',
            "analytics_format event {\nuser f;\ntype f;!\n}" ],
        [ 'too many properties', 'properties',
            "analytics_format event {\nproperties a b;!\n}" ],
        [ 'in a location', 'analytics_format',
            "server { location / {\nanalytics_format a {!\n} } }" ];

    accepted(@$_) for
        [ 'the least', $FORMAT ],
        [ 'all of it', 'analytics_format a { user u integer; type =c;'
            . ' time t epoch_ms; properties *; id i; }' ],
        [ 'an id that is called like the constant type',
            'analytics_format a { user u; type =c; id c; }' ],
        [ 'rfc3339 said', 'analytics_format a { user u; type t;'
            . ' time x rfc3339; properties p; }' ];
};


subtest 'locations' => sub {
    my $in = sub {
        return "$ZONE$FORMAT" . "server { location / {\n$_[0];!\n} }";
    };

    refused($_->[0], $_->[1], $in->($_->[0])) for
        [ 'analytics_collect', 'analytics_collect' ],
        [ 'analytics_collect none format=event', 'none' ],
        [ 'analytics_collect site', 'analytics_collect' ],
        [ 'analytics_collect site format=', 'format=' ],
        [ 'analytics_collect site format=none', 'none' ],
        [ 'analytics_collect site event', 'event' ],
        [ 'analytics_collect site format=event bogus', 'bogus' ],
        [ 'analytics_collect site format=event any_types', 'any_types' ],
        [ 'analytics_stats', 'analytics_stats' ],
        [ 'analytics_stats site', 'analytics_stats' ],
        [ 'analytics_stats none total', 'none' ],
        [ 'analytics_stats site bogus', 'bogus' ],
        [ 'analytics_stats site total by_type', 'analytics_stats' ],
        [ 'analytics_summary', 'analytics_summary' ],
        [ 'analytics_summary site', 'analytics_summary' ],
        [ 'analytics_summary none format=event', 'none' ],
        [ 'analytics_summary site format=none', 'none' ],
        [ 'analytics_summary site format=event bogus', 'bogus' ],
        [ 'analytics_health site', 'analytics_health' ];

    refused('twice', 'duplicate', $in->(
        "analytics_collect site format=event;\n"
        . 'analytics_collect site format=event'));
    refused('two of them', undef, $in->("analytics_health;\n"
        . 'analytics_stats site total'));

    refused("$_ in http{}", $_, "$_ site total;!")
        for qw(analytics_collect analytics_stats analytics_summary
        analytics_health);

    accepted($_, "$ZONE$FORMAT" . "server { location / { $_; } }") for
        'analytics_collect site format=event',
        'analytics_collect site format=event any_type',
        (map { "analytics_stats site $_" }
            qw(total by_type by_user over_time recent user)),
        'analytics_summary site format=event', 'analytics_health';
};


subtest 'loaded but not configured' => sub {
    accepted('without http{}', undef);
    accepted('an empty http{}', '');
    accepted('a server that does not use it', 'server { listen 127.0.0.1:%PORT%; }');

    for my $http ('', <<'CONF') {
        http {
            server {
                listen 127.0.0.1:%PORT%;
                location / { return 200 fine; }
            }
        }
CONF
        my $plain = Analytics::Test->new(conf => "load_module %MODULE%;\n"
            . Analytics::Test->user . "worker_processes 2;\n"
            . "events { }\n$http")->start;

        is $plain->get('/')->{body}, 'fine', 'serves as if it were not there'
            if $http;

        ok $plain->reload, 'reloads';
        unlike $plain->error_log, qr/analytics(?!-)/, 'says nothing';

        $plain->stop;
    }
};


subtest 'nginx -t creates nothing' => sub {
    my @files = map {
        my ($load, $http) = @$_;

        my $fresh = Analytics::Test->new(conf => "${load}events { }\n"
            . "http {\n$http\n}\n");
        my ($ok, $said) = $fresh->check;

        ok $ok, 'passes' or diag $said;

        join ' ', sort map { s{.*/}{}r } glob $fresh->dir . '/*';
    } ([ '', '' ], [ "load_module %MODULE%;\n", "$ZONE$FORMAT"
        . 'server { location / { analytics_collect site format=event; } }' ],
        [ "load_module %MODULE%;\n", 'analytics_zone site 16m {'
        . " path data; sync always; segment 1m; checkpoint time=1m; }\n"
        . 'analytics_zone other 16m { path %DIR%/other/; }' ]);

    is $files[1], $files[0], 'that nginx alone would not';
    is $files[2], $files[0], 'no directory of a log either';
};


subtest 'nginx makes the directory of a log' => sub {
    plan skip_all => 'needs root' if $> != 0;

    my $site = Analytics::Test->new(conf => "load_module %MODULE%;\n"
        . Analytics::Test->user . "worker_processes 2;\nevents { }\n"
        . "http {\nanalytics_zone site 16m { path data//; }\n"
        . "server { listen 127.0.0.1:%PORT%; } }\n")->start;

    my @stat = stat $site->dir . '/data';

    ok @stat, 'below the prefix';
    is sprintf('%04o', $stat[2] & 07777), '0700', 'for its owner alone';
    is $stat[4], worker_uid(), "which is the workers' user";

    ok $site->reload, 'and takes it as it is then';

    $site->stop;
};


done_testing;
