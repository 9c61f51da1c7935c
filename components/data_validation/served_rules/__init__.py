"""Rules for a log of served rankings: are its scores those of its versions, and its events and positions as before?"""
