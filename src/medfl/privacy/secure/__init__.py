"""Sums that nobody sees the parts of: secure aggregation, as state machines without a network.

Each site hides its numbers under masks that cancel in the sum (Bonawitz et al. 2017; Bell et al. 2020). A
:class:`~medfl.privacy.secure.member.Member` is a site's side, a
:class:`~medfl.privacy.secure.collector.Collector` the hub's; whoever carries their messages learns the sum over the
sites that took part and nothing about one of them. ``docs/explanation/secure-aggregation.md`` is the protocol.
"""
