package Analytics::Parts;

# Copyright (C) The nginx analytics authors

# Compares three accounts of single events: the log, as the tool prints it;
# the store's files, as the program sqlite3 reads them; and an export.  All
# become lines as the tool has them, in the order of ids.

use strict;
use warnings;

use Exporter qw(import);
use Test::More;

use Analytics::Test;

our @EXPORT = qw(log_lines part_lines part_files export_lines same_lines
    files_agree export_agrees caught_up);

my $TOOL = $ENV{ANALYTICS_LOG}
    || Analytics::Test::root_dir() . '/build/analytics-log';

my $TIME = "strftime('%%Y-%%m-%%dT%%H:%%M:%%S', (%1\$s) / 1000000,"
    . " 'unixepoch')"
    . " || CASE WHEN (%1\$s) %% 1000000 = 0 THEN ''"
    . " WHEN (%1\$s) %% 1000 = 0"
    . " THEN printf('.%%03d', (%1\$s) / 1000 %% 1000)"
    . " ELSE printf('.%%06d', (%1\$s) %% 1000000) END || 'Z\"'";

# the tables, not the view: what is looked at is what the format says

my $ROWS = 'SELECT \'{"id":\' || rows.id'
    . ' || \',"user":\' || coalesce(json_quote(users.name), \'null\')'
    . ' || \',"type":\' || json_quote(types.name)'
    . ' || \',"time":"\' || ' . sprintf($TIME, 'time + base.value')
    . ' || \',"received":"\' || ' . sprintf($TIME, 'time + lag + base.value')
    . ' || CASE WHEN own IS NULL THEN \'\''
    . ' ELSE \',"event_id":\' || json_quote(own) END'
    . ' || coalesce(\',"properties":\' || properties, \'\') || \'}\''
    . ' FROM rows JOIN part AS base ON base.name = \'base\''
    . ' JOIN types ON types.id = rows.type'
    . ' LEFT JOIN users ON users.id = rows.user ORDER BY rows.id';


sub log_lines {
    my ($dir) = @_;

    open my $from, '-|:raw', $TOOL, $dir or die "$TOOL: $!\n";

    return [<$from>];
}


# The files that count, in order: those within another one do not.

sub part_files {
    my ($dir) = @_;

    opendir my $dh, $dir or die "$dir: $!\n";

    my @parts = sort { $a->[1] <=> $b->[1] || $b->[2] <=> $a->[2] }
        map { /^(\d{20})-(\d{20})\.db$/ ? [$_, $1 + 0, $2 + 0] : () }
        readdir $dh;
    my ($end, @files) = -1;

    for my $part (@parts) {
        next if $part->[2] <= $end;

        push @files, $part;
        $end = $part->[2];
    }

    return @files;
}


# The rows of a file, and what else is wrong with it.

sub part_lines {
    my ($file) = @_;

    open my $from, '-|:raw', 'sqlite3', '-readonly', '-noheader', '-list',
        $file, "PRAGMA integrity_check; SELECT count(*) FROM rows;"
            . " SELECT value FROM part WHERE name = 'events'; $ROWS"
        or die "sqlite3: $!\n";

    my ($check, $count, $events, @lines) = <$from>;

    close $from;

    $_ = defined $_ ? s/\n$//r : 'nothing' for $check, $count, $events;

    my @wrong;

    push @wrong, $check if $check ne 'ok';
    push @wrong, "$events events are told of, there are $count rows, and "
        . @lines . ' are whole' if $count ne $events || $count ne @lines;

    return (\@lines, @wrong);
}


# An export in NDJSON, of the format "event".

sub export_lines {
    my ($body) = @_;

    my @lines = map { $_->[1] } sort { $a->[0] <=> $b->[0] }
        map { /^\{"id":(\d+),/ ? [$1, "$_\n"] : [0, "$_\n"] }
        split /\n/, $body;

    return \@lines;
}


# What an export has of a line of the log; undef if it is of nobody.

sub exported {
    my ($line) = @_;

    return undef if $line =~ /^\{"id":\d+,"user":null,/;

    $line =~ s/,"user":/,"user_id":/;
    $line =~ s/,"type":("(?:[^"\\]|\\.)*"),"time":/,"event_type":$1,"timestamp":/;
    $line =~ s/("timestamp":"[^"]*"),"received":"[^"]*"/$1/;
    $line =~ s/,"properties":/,"metadata":/
        or $line =~ s/\}$/,"metadata":{}}/;

    return $line;
}


# Whether all lines are alike; tells of the first one that is not.

sub same_lines {
    my ($got, $want, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $i = 0;

    $i++ while $i < @$got && $i < @$want && $got->[$i] eq $want->[$i];

    return ok(1, $name) if $i == @$got && $i == @$want;

    ok(0, $name);
    diag scalar(@$got) . ' lines, not ' . @$want . "; line $i: ",
        $got->[$i] // 'none', "\nnot: ", $want->[$i] // 'none';

    return 0;
}


# What lies in a directory that nobody changes: each event of the log once, in
# the files or behind them, without a gap.  Returns how many files there are.

sub files_agree {
    my ($dir, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my (@wrong, @rows, $end);

    my @files = part_files($dir);

    for my $part (@files) {
        my ($file, $from, $to) = @$part;
        my ($lines, @of) = part_lines("$dir/$file");

        push @wrong, map { "$file: $_" } @of;
        push @wrong, "$file does not begin at $end"
            if defined $end && $from != $end;

        push @rows, @$lines;
        $end = $to;
    }

    my $log = log_lines($dir);
    my ($first) = ($rows[0] // '') =~ /^\{"id":(\d+),/;
    my ($begin) = ($log->[0] // '') =~ /^\{"id":(\d+),/;

    push @wrong, "the store begins with $first, the log with $begin"
        if defined $first && $begin > $first;

    ok !@wrong, "$name: " . @files . ' files, each whole, without a gap'
        or diag join "\n", @wrong;

    my @there = defined $first ? @$log[$first - $begin
        .. $first - $begin + $#rows] : ();

    same_lines(\@rows, [map { $_ // '' } @there],
        "$name: " . @rows . ' rows are what the log has, of ' . @$log);

    return scalar @files;
}


# An export is what the log is, as far as it went meanwhile.  Who has forgotten
# the beginning shows all from some event on.

sub export_agrees {
    my ($nginx, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $before = log_lines($nginx->data);
    my $answer = $nginx->get('/events/export');
    my %log    = map { /^\{"id":(\d+),/ => $_ } @$before,
        @{ log_lines($nginx->data) };

    is $answer->{status}, 200, "$name: an export";
    is $answer->header('X-Analytics-Exact') // 'true', 'true', 'it is exact';

    my $lines = export_lines($answer->{body});
    my ($first) = ($lines->[0] // '') =~ /^\{"id":(\d+),/;
    my ($last) = ($lines->[-1] // '') =~ /^\{"id":(\d+),/;
    my ($least) = ($before->[-1] // '') =~ /^\{"id":(\d+),/;

    $last = $least if defined $least && ($last // 0) < $least;

    $first = 1 unless $nginx->{retain} =~ /events=/;

    return same_lines($lines, [grep { defined } map { exported($log{$_}) }
        grep { $_ >= $first && $_ <= $last } sort { $a <=> $b } keys %log],
        "$name: " . @$lines . ' events are what the log has');
}


# Waits until the store has what it is to have.

sub caught_up {
    my ($nginx, $least) = @_;

    return wait_for(sub {
        my $health = eval { $nginx->health };

        return $health && $health->{state} eq 'ready'
            && $health->{erasing} eq '0'
            && $health->{store}{behind_events} < ($least // 32768)
            && $health->{store}{missing_bytes} == 0;
    });
}


1;
