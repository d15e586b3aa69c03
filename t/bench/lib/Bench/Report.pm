package Bench::Report;

# Copyright (C) The nginx analytics authors

# The table.

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT = qw(text markdown);

my @HEAD = ('what', 'measured', 'at least', 'aim', '');


# A row holds what, measured, value, detail; and floor and aim where there
# are any, with less => 1 if less is better.

sub mark {
    my ($row) = @_;

    return '' unless defined $row->{floor};

    my $sign = $row->{less} ? -1 : 1;
    my ($value, $floor, $aim) = map { $sign * $_ } @$row{qw(value floor aim)};

    return 'aim reached' if $value >= $aim;

    return $value >= $floor ? 'pass' : 'MISSED';
}


sub cells {
    my ($row) = @_;

    return map { $_ // '' } @$row{qw(what measured)},
        map({ defined ? $_ . ($row->{unit} // '') : '' } @$row{qw(floor aim)}),
        mark($row);
}


sub text {
    my @table = ([@HEAD], map { [cells($_)] } @_);
    my @width;

    for my $line (@table) {
        for my $i (0 .. $#$line) {
            my $len = length $line->[$i];
            $width[$i] = $len if $len > ($width[$i] // 0);
        }
    }

    my $out = "\n";

    for my $i (0 .. $#table) {
        my ($what, @more) = @{ $table[$i] };

        $out .= sprintf "%-*s  %*s  %*s  %*s  %s\n", $width[0], $what,
            map({ ($width[$_], $more[ $_ - 1 ]) } 1 .. 3), $more[3];
        $out =~ s/ +\n\z/\n/;

        $out .= $i ? "    $_[$i - 1]{detail}\n" : "\n";
    }

    return $out;
}


sub markdown {
    my $out = "| what | measured | at least | aim | |\n|---|---|---|---|---|\n";

    $out .= '| ' . join(' | ', cells($_)) . " |\n" for @_;

    return $out;
}


1;
