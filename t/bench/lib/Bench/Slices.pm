package Bench::Slices;

# Copyright (C) The nginx analytics authors

# Measures variants side by side: they take turns in short slices, the order
# rotates, and medians count.  So what else the machine does hits all alike.

use strict;
use warnings;

use Exporter qw(import);

use Bench::Process;

our @EXPORT = qw(measure wrk median ratio quartiles);

use constant {
    BUSY  => 0.9,       # of a server's processor, or wrk is measured
    OTHER => 0.05,      # of a processor that others took
    TRIES => 3,
};


sub median {
    return (quartiles(@_))[1];
}


sub quartiles {
    my @list = sort { $a <=> $b } @_;

    return map {
        my $at = $_ * $#list;
        my $low = int $at;
        my $next = $low < $#list ? $low + 1 : $low;
        $list[$low] + ($at - $low) * ($list[$next] - $list[$low]);
    } 0.25, 0.5, 0.75;
}


# Runs wrk once against a server.  Options: nginx, path, script, args,
# connections, seconds, cpus, seed.

sub wrk {
    my (%arg) = @_;

    my @pids   = $arg{nginx}->workers;
    my $cpu    = cpu_seconds(@pids);
    my $waited = waited_seconds(@pids);

    my $said = run_process(
        ['wrk', '-t1', "-c$arg{connections}", "-d$arg{seconds}s", '--timeout',
            '10s', '-s', "$arg{wrk}/$arg{script}",
            $arg{nginx}->url($arg{path}), '--', @{ $arg{args} // [] }],
        cpus => $arg{cpus},
        env  => { BENCH_WRK => $arg{wrk}, BENCH_SEED => $arg{seed} // 1 }
    );

    my ($line) = $said =~ /^BENCH (.*)/m or die "wrk said:\n$said\n";
    my %slice = $line =~ /(\w+)=(\S+)/g;

    die "$arg{path}: $slice{refused} requests were refused\n"
        if $slice{refused};
    die "$arg{path}: $slice{failed} requests failed\n" if $slice{failed};

    my $seconds = $slice{us} / 1e6;

    $cpu = cpu_seconds(@pids) - $cpu;
    $waited = waited_seconds(@pids) - $waited;

    return {
        %slice,
        rate   => $slice{requests} / $seconds,
        cpu    => $cpu / ($slice{requests} || 1),
        busy   => $cpu / $seconds,
        others => $waited > 0 ? $waited / $seconds : 0,
    };
}


# Variants are names with functions that measure a slice.  Returns by name
# {FIELD => [values]}.  "others" is how much of a processor they took away.

sub measure {
    my ($what, $rounds, @variants) = @_;

    my (@names, %run, %result);

    while (my ($name, $run) = splice @variants, 0, 2) {
        push @names, $name;
        $run{$name} = $run;
    }

    # the first slices warm up and are not counted
    for my $round (0 .. $rounds) {
        say_progress(sprintf '%s, round %d of %d', $what, $round, $rounds)
            if $round;

        for my $i (0 .. $#names) {
            my $name  = $names[ ($round + $i) % @names ];
            my $slice = undisturbed($run{$name}, $round);

            next unless $round;

            push @{ $result{$name}{$_} }, $slice->{$_} for keys %$slice;
        }
    }

    return \%result;
}


# A slice in which somebody else took the processor is measured again.

sub undisturbed {
    my ($run, $round) = @_;

    my $best;

    for (1 .. TRIES) {
        my $slice = $run->($round);

        return $slice if !$round || ($slice->{others} // 0) <= OTHER;

        $best = $slice if !$best || $slice->{others} < $best->{others};
    }

    return $best;
}


# How two variants compare, by a field that is better when larger.

sub ratio {
    my ($result, $one, $two, $field) = @_;

    my @of = map { $result->{$_}{$field} } $one, $two;
    my ($low, undef, $high) = quartiles(
        map { $of[0][$_] / $of[1][$_] } 0 .. $#{ $of[0] });

    return {
        ratio => median(@{ $of[0] }) / median(@{ $of[1] }),
        low   => $low,
        high  => $high,
    };
}


1;
