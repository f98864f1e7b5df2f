"""The demonstration of 证链 Zhenglian: synthetic people, their certificates, and the story told with them.

Rule: synthetic data only. Names, numbers, portraits and seals are made from a seed, belong to nobody, and
every document drawn here says so on its face (“样本 SPECIMEN 虚构数据”). Nothing outside the demonstration
imports it.
"""
