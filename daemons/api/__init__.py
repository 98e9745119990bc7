"""The API: the one program that listens. It reads what the others leave in `.cmux/`, and changes the registry.

waitress (server) -> guard -> hot calls | Flask (app) -> one module a resource
                                 |
                              commits: one thread, one lock and one flush for all changes in flight
"""
