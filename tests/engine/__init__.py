"""Tests of the engine and the middleware, as views, browsers and other middleware see them."""
