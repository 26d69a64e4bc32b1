"""Races: real processes and threads over a real WSGI server, on our stores and, to see each fault, on Django's engines.

Each race is a function that returns how often the fault showed. Its test on our stores wants 0; its baseline, on the
stock engines that have the fault, repeats the race until it shows, within a bound. ``hold()`` stops a request between
its load and its save, so that most races are no matter of luck; the others are run often.
"""
